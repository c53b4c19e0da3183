//! The files that the cluster's parts read: configuration, certificates, kubeconfigs.

use std::fs;
use std::path::Path;

use super::Cluster;
use super::pki::{self, Authority, Identity};
use crate::{Error, Result, host, kubeconfig};

/// A file's path below the state folder, and the template it is made from.
const TEMPLATES: &[(&str, &str)] = &[
    ("etc/init.sh", include_str!("config/init.sh")),
    (
        "etc/containerd.toml",
        include_str!("config/containerd.toml"),
    ),
    ("etc/cni/pods.conflist", include_str!("config/cni.conflist")),
    ("etc/kubelet.yaml", include_str!("config/kubelet.yaml")),
    (
        "etc/kube-proxy.yaml",
        include_str!("config/kube-proxy.yaml"),
    ),
    ("etc/audit.yaml", include_str!("config/audit.yaml")),
    ("etc/Corefile", include_str!("config/Corefile")),
    ("etc/bootstrap.yaml", include_str!("config/bootstrap.yaml")),
    ("etc/resolv.conf", "nameserver ${node_address}\n"),
];

/// Who may talk to the API server, with which groups. The names are those that Kubernetes' own roles are bound to.
const CLIENTS: &[(&str, &str, &[&str])] = &[
    ("kubeconfig", "db-operator-e2e", &["system:masters"]),
    (
        "etc/kube-controller-manager.kubeconfig",
        "system:kube-controller-manager",
        &[],
    ),
    (
        "etc/kube-scheduler.kubeconfig",
        "system:kube-scheduler",
        &[],
    ),
    ("etc/kube-proxy.kubeconfig", "system:kube-proxy", &[]),
    ("etc/coredns.kubeconfig", "system:coredns", &[]),
];

/// The configuration files, rendered: path below the state folder, and text.
pub(super) fn configuration(
    cluster: &Cluster,
    cgroup: &str,
    images: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let settings = cluster.settings();
    let state = cluster.state_dir();
    let text = |path: &Path| path.display().to_string();
    let values = [
        ("state", text(state)),
        (
            "relative_state",
            text(state.strip_prefix("/var/lib").unwrap_or(state)),
        ),
        ("pki", text(&state.join("pki"))),
        ("images", text(images)),
        ("cgroup", cgroup.to_owned()),
        ("cni_plugins", host::CNI_FOLDER.to_owned()),
        ("pause_image", super::pause::NAME.to_owned()),
        ("restrict_oom_score_adj", (!has_sys_resource()?).to_string()),
        ("node", cluster.node()),
        ("node_address", settings.node_address().to_string()),
        ("service_range", settings.service_range().to_string()),
        ("pod_range", settings.pod_range().to_string()),
    ];
    Ok(TEMPLATES
        .iter()
        .map(|(path, template)| (*path, render(template, &values)))
        .collect())
}

/// Writes the configuration, and the certificates and kubeconfigs that are not there yet.
pub(super) fn write(cluster: &Cluster, configuration: &[(&'static str, String)]) -> Result<()> {
    let state = cluster.state_dir();
    for folder in ["etc/cni", "logs", "run"] {
        let folder = state.join(folder);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    }
    for (path, text) in configuration {
        let path = state.join(path);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    certificates(cluster)?;
    cluster.ca().map(drop)
}

fn certificates(cluster: &Cluster) -> Result<()> {
    let settings = cluster.settings();
    let pki = cluster.state_dir().join("pki");
    let authority = Authority::open(&pki, "kubernetes")?;
    let (node, address, service) = (
        cluster.node(),
        settings.node_address().to_string(),
        settings.api_service_address().to_string(),
    );

    let api_names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        &address,
        &service,
    ];
    pair(&pki, "kube-apiserver", || authority.server(&api_names))?;
    pair(&pki, "kubelet-server", || {
        authority.server(&[&node, &address])
    })?;
    pair(&pki, "kubelet-client", || {
        authority.client("kube-apiserver-kubelet-client", &[])
    })?;

    let (private, public) = (
        pki.join("service-accounts.key"),
        pki.join("service-accounts.pub"),
    );
    if !public.is_file() {
        let (private_key, public_key) = pki::signing_key()?;
        pki::write_private(&private, &private_key)?;
        pki::write_private(&public, &public_key)?;
    }

    let server = cluster.api_server();
    let kubelet_user = format!("system:node:{node}");
    let kubelet = (
        "etc/kubelet.kubeconfig",
        kubelet_user.as_str(),
        &["system:nodes"][..],
    );
    for (path, user, groups) in CLIENTS.iter().copied().chain([kubelet]) {
        let path = cluster.state_dir().join(path);
        if !path.is_file() {
            let client = authority.client(user, groups)?;
            pki::write_private(
                &path,
                &kubeconfig::render(&server, &authority.certificate()?, &client),
            )?;
        }
    }
    Ok(())
}

/// A certificate and its key in two files, made unless they are there. The certificate is written last.
fn pair(pki: &Path, name: &str, make: impl FnOnce() -> Result<Identity>) -> Result<()> {
    let certificate = pki.join(format!("{name}.crt"));
    if certificate.is_file() {
        return Ok(());
    }
    let identity = make()?;
    pki::write_private(&pki.join(format!("{name}.key")), &identity.key)?;
    pki::write_private(&certificate, &identity.certificate)
}

fn render(template: &str, values: &[(&str, String)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value)
        })
}

/// Whether this process, and so the cluster, may lower scores of the out-of-memory killer (`CAP_SYS_RESOURCE`).
fn has_sys_resource() -> Result<bool> {
    const CAP_SYS_RESOURCE: u64 = 1 << 24; // capabilities(7), linux/capability.h
    let path = Path::new("/proc/self/status");
    let status = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    Ok(effective & CAP_SYS_RESOURCE != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn every_placeholder_has_a_value() {
        let files = configuration(&Cluster::main(), "/here", Path::new("/images")).unwrap();
        assert_eq!(files.len(), TEMPLATES.len());
        for (path, text) in files {
            assert!(
                !text.contains("${"),
                "{path} has a placeholder left:\n{text}"
            );
        }
    }

    #[test]
    fn yaml_and_json_can_be_read() {
        for (path, text) in configuration(&Cluster::main(), "/here", Path::new("/images")).unwrap()
        {
            if [".yaml", ".conflist"].iter().any(|end| path.ends_with(end)) {
                for document in serde_yaml_ng::Deserializer::from_str(&text) {
                    let value = <serde_yaml_ng::Value as serde::Deserialize>::deserialize(document)
                        .unwrap();
                    assert!(value.is_mapping(), "{path}");
                }
            }
        }
    }
}
