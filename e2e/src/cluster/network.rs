//! The one link between the machine and the cluster's network namespace.
//!
//! All the rest of the cluster's network (pods' links, kube-proxy's rules, routes) lives in that namespace and vanishes
//! with it. On the machine there are only this link, the route of the cluster's block over it, and a second, weaker
//! "unreachable" route of the same block, so that nothing for the cluster ever takes the default route.

use std::process::Command;

use super::settings::{Range, Settings};
use crate::{Error, Result, command};

/// A route with this metric counts only while there is no better one.
const GUARD_METRIC: &str = "4278198272";

/// Fails with a sentence if the machine uses addresses of the cluster's block.
pub(super) fn require_free(settings: &Settings) -> Result<()> {
    let routes = command::output(ip().args(["-4", "route", "show", "table", "all"]))?;
    let Some(route) = colliding_route(&routes, settings) else {
        return Ok(());
    };
    Err(Error::Precondition(format!(
        "The cluster needs the addresses {}, but this machine has a route there already (`{route}`): remove that route, or change the block in {}.",
        settings.block, "e2e/src/cluster/settings.rs",
    )))
}

/// Makes the link, with its other end named `eth0` in the network namespace of process `pid`, and the routes.
pub(super) fn connect(settings: &Settings, pid: i32) -> Result<()> {
    let (link, pid, block) = (settings.link(), pid.to_string(), settings.block.to_string());
    let host = format!("{}/30", settings.host_address());
    run(&[
        "route",
        "add",
        "unreachable",
        &block,
        "metric",
        GUARD_METRIC,
    ])?;
    run(&[
        "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid,
    ])?;
    run(&["address", "add", &host, "dev", &link])?;
    run(&["link", "set", &link, "up"])?;
    run(&[
        "route",
        "add",
        &block,
        "via",
        &settings.node_address().to_string(),
        "dev",
        &link,
    ])
}

/// Takes the link and the routes away. It is fine if they are not there.
pub(super) fn disconnect(settings: &Settings) -> Result<()> {
    let (link, block) = (settings.link(), settings.block.to_string());
    if std::path::Path::new("/sys/class/net").join(&link).exists() {
        // With its namespace, the kernel may be removing it at this moment.
        let removed = run(&["link", "delete", &link]);
        if std::path::Path::new("/sys/class/net").join(&link).exists() {
            removed?;
        }
    }
    let guard = ["route", "show", "exact", &block, "metric", GUARD_METRIC];
    if !command::output(ip().arg("-4").args(guard))?.is_empty() {
        run(&[
            "route",
            "delete",
            "unreachable",
            &block,
            "metric",
            GUARD_METRIC,
        ])?;
    }
    Ok(())
}

fn run(arguments: &[&str]) -> Result<()> {
    command::output(ip().args(arguments)).map(drop)
}

fn ip() -> Command {
    Command::new("ip")
}

/// The first route, other than the default one and the cluster's own, that has an address of the cluster's block.
fn colliding_route<'a>(routes: &'a str, settings: &Settings) -> Option<&'a str> {
    let own = format!(" dev {} ", settings.link());
    routes.lines().map(str::trim_end).find(|line| {
        let mut words = line.split_whitespace().filter(|word| !TYPES.contains(word));
        let Some(range) = words.next().and_then(|word| word.parse::<Range>().ok()) else {
            return false;
        };
        let ours = format!("{line} ").contains(&own) || line.contains(GUARD_METRIC);
        range.overlaps(&settings.block) && !ours
    })
}

/// The words that `ip route` may put before the destination.
const TYPES: [&str; 8] = [
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "unreachable",
    "blackhole",
    "prohibit",
    "throw",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_into_the_block_collides_unless_it_is_ours_or_the_default() {
        let settings = Settings::main();
        let own = "default via 192.0.2.1 dev eth0\n\
                   10.213.0.0/16 via 10.213.0.2 dev dbo-e2e \n\
                   unreachable 10.213.0.0/16 metric 4278198272 \n\
                   10.213.0.0/30 dev dbo-e2e proto kernel scope link src 10.213.0.1 \n\
                   local 10.213.0.1 dev dbo-e2e table local proto kernel scope host src 10.213.0.1 \n\
                   10.214.0.0/16 via 10.214.0.2 dev dbo-beside\n";
        assert_eq!(colliding_route(own, &settings), None);
        for foreign in [
            "10.0.0.0/8 via 192.0.2.7 dev eth0",
            "local 10.213.9.9 dev eth0 table local",
            "blackhole 10.213.0.0/16",
        ] {
            assert_eq!(
                colliding_route(&format!("{own}{foreign}\n"), &settings),
                Some(foreign)
            );
        }
    }
}
