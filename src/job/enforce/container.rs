//! Containers: the one that dumps or loads, the one that installs our binary for it, and those that a template adds.
//!
//! All fields are named, so that a new one of Kubernetes has to be judged before this compiles.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Lifecycle, LifecycleHandler, Probe, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::values::image;
use super::super::{Kind, Order, Refusal};
use super::{security, settings, volume};
use crate::agent::protocol::task::paths;

/// The init container that installs our binary.
pub(super) const INSTALL: &str = "install";

/// How a container runs next to the main one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before it, or around it with `restartPolicy: Always`.
    Init,
    /// At the same time.
    Beside,
}

/// The container that dumps or loads: what it runs, where, and with what is the template's; it runs once, and sees what it
/// must.
pub(super) fn main(asked: Container, order: &Order<'_>, path: &str) -> Result<Container, Refusal> {
    let Container {
        args,
        command,
        env,
        env_from,
        image: asked_image,
        image_pull_policy,
        lifecycle: _,
        liveness_probe: _,
        name: _,
        ports,
        readiness_probe: _,
        resize_policy: _,
        resources,
        restart_policy: _,
        restart_policy_rules: _,
        security_context,
        startup_probe: _,
        stdin: _,
        stdin_once: _,
        termination_message_path: _,
        termination_message_policy: _,
        tty: _,
        volume_devices: _,
        volume_mounts,
        working_dir,
    } = asked;
    check_command(command.as_deref(), args.as_deref(), order.owner.kind, path)?;
    volume::check_env(env.as_deref(), env_from.as_deref(), order, path)?;
    Ok(Container {
        args,
        command,
        env,
        env_from,
        image: asked_image
            .filter(|image| !image.is_empty())
            .or_else(|| Some(image(order))),
        image_pull_policy,
        name: order.owner.kind.container().to_owned(),
        ports: ports.map(without_host_ports),
        resources: Some(with_memory(
            settings::resources(resources, order.settings).unwrap_or_default(),
            order.memory_bytes,
        )),
        security_context: Some(security::of_container(
            security_context.unwrap_or_default(),
            true,
        )),
        termination_message_path: Some(paths::TERMINATION.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(volume::mounts_of_main(volume_mounts, path)?),
        working_dir,
        ..Container::default()
    })
}

/// Memory that copying our binary takes at the most, page cache included, in bytes.
const INSTALL_MEMORY: u64 = 64 * 1024 * 1024;

/// The container that installs our binary: all ours, but for what it costs and how its image is pulled.
pub(super) fn install(asked: Option<Container>, order: &Order<'_>) -> Container {
    let asked = asked.unwrap_or_default();
    Container {
        name: INSTALL.to_owned(),
        image: Some(order.operator_image.to_owned()),
        image_pull_policy: asked.image_pull_policy,
        args: Some(vec!["install".to_owned(), paths::BIN.to_owned()]),
        resources: resources_of_install(asked.resources, order),
        security_context: Some(security::of_container(
            asked.security_context.unwrap_or_default(),
            true,
        )),
        volume_mounts: Some(volume::mounts_of_install()),
        ..Container::default()
    }
}

/// A container that the template adds: its own affair, within the rights of such a pod.
pub(super) fn other(
    asked: Container,
    place: Place,
    order: &Order<'_>,
    path: &str,
) -> Result<Container, Refusal> {
    let Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules: _,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = asked;
    volume::check_env(env.as_deref(), env_from.as_deref(), order, path)?;
    Ok(Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle: lifecycle.map(lifecycle_without_host),
        liveness_probe: liveness_probe.map(probe_without_host),
        name,
        ports: ports.map(without_host_ports),
        readiness_probe: readiness_probe.map(probe_without_host),
        resize_policy,
        resources,
        restart_policy: restart_policy.filter(|policy| place == Place::Init && policy == "Always"),
        restart_policy_rules: None,
        security_context: Some(security::of_container(
            security_context.unwrap_or_default(),
            false,
        )),
        startup_probe: startup_probe.map(probe_without_host),
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts: volume::mounts_of_other(volume_mounts, order, path)?,
        working_dir,
    })
}

/// It is our process that owns the tool, whichever that is.
fn check_command(
    command: Option<&[String]>,
    args: Option<&[String]>,
    kind: Kind,
    path: &str,
) -> Result<(), Refusal> {
    let main = kind.container();
    let command = command.unwrap_or_default();
    let words: Vec<&str> = command
        .iter()
        .chain(args.unwrap_or_default())
        .map(String::as_str)
        .collect();
    let has_tool = words
        .iter()
        .position(|&word| word == "--")
        .is_some_and(|end| end + 1 < words.len());
    let is_ours = !command.is_empty() && words.starts_with(&[paths::BINARY, main]);
    if is_ours && has_tool {
        return Ok(());
    }
    let reason = format!(
        "the command of the container {main} must begin with {}, {main}, \"--\", followed by the {main} tool",
        paths::BINARY
    );
    Err(Refusal::new(format!("{path}.command"), reason))
}

/// A memory limit that the instance sets is for the dump tool: it does not take away what copying a file needs.
fn resources_of_install(
    asked: Option<ResourceRequirements>,
    order: &Order<'_>,
) -> Option<ResourceRequirements> {
    let is_set = order
        .settings
        .is_some_and(|settings| settings.resources.is_some());
    let resources = settings::resources(asked, order.settings)?;
    Some(if is_set {
        with_memory(resources, INSTALL_MEMORY)
    } else {
        resources
    })
}

/// At least our limit, and not less than what the template reserves.
fn with_memory(mut resources: ResourceRequirements, least: u64) -> ResourceRequirements {
    const MEMORY: &str = "memory";
    let of = |list: &Option<std::collections::BTreeMap<String, Quantity>>| {
        let quantity = list.as_ref().and_then(|list| list.get(MEMORY))?;
        Some((amount(&quantity.0)?, quantity.clone()))
    };
    let asked = [of(&resources.limits), of(&resources.requests)];
    #[expect(
        clippy::cast_precision_loss,
        reason = "a limit is far below 2^53 bytes, up to which this is exact"
    )]
    let mut limit = (least as f64, Quantity(least.to_string()));
    for more in asked.into_iter().flatten() {
        // Of equal ones the template's, as it was written.
        if more.0 >= limit.0 {
            limit = more;
        }
    }
    resources
        .limits
        .get_or_insert_default()
        .insert(MEMORY.to_owned(), limit.1);
    resources
}

/// A quantity as Kubernetes reads it: `512Mi`, `1.5G`, `129e6`, `1000m`.
pub(super) fn amount(quantity: &str) -> Option<f64> {
    let quantity = quantity.trim();
    let suffixes = [
        ("Ki", 1024_f64),
        ("Mi", 1024_f64.powi(2)),
        ("Gi", 1024_f64.powi(3)),
        ("Ti", 1024_f64.powi(4)),
        ("Pi", 1024_f64.powi(5)),
        ("Ei", 1024_f64.powi(6)),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    let (number, unit) = suffixes
        .iter()
        .find_map(|(suffix, unit)| Some((quantity.strip_suffix(suffix)?, unit)))?;
    number
        .parse::<f64>()
        .ok()
        .map(|number| number * unit)
        .filter(|bytes| bytes.is_finite())
}

fn without_host_ports(ports: Vec<ContainerPort>) -> Vec<ContainerPort> {
    ports
        .into_iter()
        .map(|port| ContainerPort {
            host_ip: None,
            host_port: None,
            ..port
        })
        .collect()
}

/// A probe goes to its own pod: the kubelet is nobody's way to other hosts.
fn probe_without_host(mut probe: Probe) -> Probe {
    if let Some(request) = &mut probe.http_get {
        request.host = None;
    }
    if let Some(socket) = &mut probe.tcp_socket {
        socket.host = None;
    }
    probe
}

fn lifecycle_without_host(lifecycle: Lifecycle) -> Lifecycle {
    let handler = |mut handler: LifecycleHandler| {
        if let Some(request) = &mut handler.http_get {
            request.host = None;
        }
        if let Some(socket) = &mut handler.tcp_socket {
            socket.host = None;
        }
        handler
    };
    Lifecycle {
        post_start: lifecycle.post_start.map(handler),
        pre_stop: lifecycle.pre_stop.map(handler),
        stop_signal: lifecycle.stop_signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (quantity, expected) in [
            ("512Mi", 536_870_912.0),
            ("1.5G", 1.5e9),
            ("129e6", 1.29e8),
            ("129M", 1.29e8),
            ("123000m", 123.0),
            ("7", 7.0),
        ] {
            assert_eq!(amount(quantity), Some(expected), "{quantity}");
        }
        for wrong in ["", "Mi", "much", "inf", "1Qi"] {
            assert_eq!(amount(wrong), None, "{wrong}");
        }
    }
}
