//! What tells one cluster from another: its name and its block of addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A cluster's name and addresses. All addresses come from one private /16, so that one route covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names the state folder, the cgroups, the link and the node. At most 8 characters: a link's name has 15.
    pub name: &'static str,
    /// All addresses of the cluster: nodes, pods and Services.
    pub block: Range,
}

impl Settings {
    /// The one cluster of a machine, which all clones share by turns.
    #[must_use]
    pub const fn main() -> Self {
        Self {
            name: "e2e",
            block: Range::new(Ipv4Addr::new(10, 213, 0, 0), 16),
        }
    }

    /// A second one that only the tests of the cluster itself use, beside whatever runs.
    #[must_use]
    pub const fn neighbour() -> Self {
        Self {
            name: "beside",
            block: Range::new(Ipv4Addr::new(10, 214, 0, 0), 16),
        }
    }

    /// The machine's end of the link to the cluster.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        self.block.address(1)
    }

    /// The node's address: API server, kubelet, cluster DNS, node ports.
    #[must_use]
    pub fn node_address(&self) -> Ipv4Addr {
        self.block.address(2)
    }

    /// The addresses of the link between the machine and the cluster.
    #[must_use]
    pub fn link_range(&self) -> Range {
        Range::new(self.block.network, 30)
    }

    /// The pods' addresses: the second quarter of the block.
    #[must_use]
    pub fn pod_range(&self) -> Range {
        Range::new(self.block.address(64 * 256), 18)
    }

    /// The Services' addresses: the upper half of the block.
    #[must_use]
    pub fn service_range(&self) -> Range {
        Range::new(self.block.address(128 * 256), 17)
    }

    /// The Service `kubernetes`: always the first of the range.
    #[must_use]
    pub fn api_service_address(&self) -> Ipv4Addr {
        self.block.address(128 * 256 + 1)
    }

    /// The machine's end of the link to the cluster.
    #[must_use]
    pub fn link(&self) -> String {
        format!("dbo-{}", self.name)
    }
}

/// A range of IPv4 addresses, written `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    network: Ipv4Addr,
    /// At most 32.
    prefix: u8,
}

impl Range {
    /// The range that starts at `network`, whose host bits are zero, with `prefix` (at most 32) fixed bits.
    #[must_use]
    pub const fn new(network: Ipv4Addr, prefix: u8) -> Self {
        Self { network, prefix }
    }

    /// The address at this offset from the range's start.
    #[must_use]
    pub fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + offset)
    }

    /// Whether the two ranges have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let shared = self.prefix.min(other.prefix);
        let mask = u32::MAX.checked_shl(32 - u32::from(shared)).unwrap_or(0);
        self.network.to_bits() & mask == other.network.to_bits() & mask
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Range {
    type Err = std::net::AddrParseError;

    /// Reads `10.0.0.0/8` or, for a single address, `10.0.0.1`, as `ip route` writes them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (network, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= 32)
            .unwrap_or(32);
        Ok(Self {
            network: network.parse()?,
            prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn ranges_overlap_exactly_when_they_share_an_address() {
        let range = |text: &str| text.parse::<Range>().unwrap();
        for (a, b, shared) in [
            ("10.213.0.0/16", "10.213.128.0/17", true),
            ("10.213.0.0/16", "10.0.0.0/8", true),
            ("10.213.0.0/16", "10.213.255.255", true),
            ("10.213.0.0/16", "10.214.0.0/16", false),
            ("10.213.0.0/16", "10.212.255.255", false),
            ("10.213.0.0/16", "0.0.0.0/0", true),
        ] {
            assert_eq!(range(a).overlaps(&range(b)), shared, "{a} and {b}");
            assert_eq!(range(b).overlaps(&range(a)), shared, "{b} and {a}");
        }
    }

    #[test]
    fn the_parts_of_a_block_lie_in_it_and_apart() {
        for settings in [Settings::main(), Settings::neighbour()] {
            let parts = [
                settings.link_range(),
                settings.pod_range(),
                settings.service_range(),
            ];
            for (index, part) in parts.iter().enumerate() {
                assert!(settings.block.overlaps(part));
                assert!(parts[index + 1..].iter().all(|other| !part.overlaps(other)));
            }
            assert!(settings.link().len() < 16);
            assert!(settings.name.len() <= 8);
        }
        assert!(
            !Settings::main()
                .block
                .overlaps(&Settings::neighbour().block)
        );
        assert_eq!(
            Settings::main().service_range().to_string(),
            "10.213.128.0/17"
        );
        assert_eq!(
            Settings::main().api_service_address().to_string(),
            "10.213.128.1"
        );
    }
}
