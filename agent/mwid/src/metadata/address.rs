//! Where the metadata server is. In: the environment's variables as plain texts. Out: an address. Never looks up a name: an
//! answer of somebody's resolver must not decide who gives this VM its key.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PORT: u16 = 80;
const GRPC_PORT: u16 = 8083;
const PLATFORM: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// The same server for VMs without IPv4.
const PLATFORM_V6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);
/// The names that every VM knows it by.
const NAMES: [&str; 3] = [
    "metadata.google.internal",
    "metadata.google.internal.",
    "metadata.goog",
];

/// What Google's client libraries look at (`GCE_METADATA_HOST`, then `GCE_METADATA_ROOT`, its older name, then `GCE_METADATA_IP`),
/// read by the wiring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) host: Option<String>,
    pub(crate) root: Option<String>,
    pub(crate) ip: Option<String>,
    /// What the firmware says the machine is (DMI product name), as Google's client libraries look at it.
    pub(crate) product: Option<String>,
}

/// Why a variable of the environment is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "{variable}={found:?} is not followed: no name is looked up and no scheme is wanted; write IP or IP:PORT, or set \
         identity.source's address"
    )]
    NoAddress { variable: &'static str, found: String },
    #[error(
        "{variable}={found} is not followed: it is mwid's own address, which local programs are to ask; mwid asks the platform"
    )]
    Ourselves {
        variable: &'static str,
        found: SocketAddr,
    },
    #[error(
        "{variable}={found} is not followed: a key travels there in plain text, so only this machine and link-local addresses \
         are asked"
    )]
    TooFar {
        variable: &'static str,
        found: SocketAddr,
    },
}

/// The platform's server by both of its doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    /// Whether somebody who was told of no server may ask this one: the environment names it, or the machine is a VM of Google's.
    /// Elsewhere a neighbour on the network could answer for a link-local address, and hand out an identity.
    pub(crate) expected: bool,
}

impl Server {
    fn at(http: SocketAddr, expected: bool) -> Self {
        Self {
            expected,
            grpc: SocketAddr::new(http.ip(), GRPC_PORT),
            http,
        }
    }

    /// Whether this is Compute Engine's own, at the address that every VM knows.
    pub(crate) fn is_the_platforms(&self) -> bool {
        self.http == SocketAddr::new(PLATFORM, PORT)
    }

    /// By the environment. `ours` are the addresses at which mwid itself answers like a metadata server. With an error the
    /// platform's own holds.
    pub(crate) fn of(environment: &Environment, ours: &[SocketAddr]) -> (Self, Option<AddressError>) {
        let named = [
            ("GCE_METADATA_HOST", &environment.host),
            ("GCE_METADATA_ROOT", &environment.root),
            ("GCE_METADATA_IP", &environment.ip),
        ]
        .into_iter()
        .find_map(|(variable, text)| Some((variable, text.as_deref().filter(|text| !text.is_empty())?)));
        let on_google = environment
            .product
            .as_deref()
            .is_some_and(|name| name.starts_with("Google"));
        let platform = Self::at(SocketAddr::new(PLATFORM, PORT), on_google);
        match named.map(|(variable, text)| by_variable(variable, text, ours)) {
            None => (platform, None),
            Some(Ok(address)) => (Self::at(address, true), None),
            Some(Err(error)) => (platform, Some(error)),
        }
    }
}

fn by_variable(variable: &'static str, text: &str, ours: &[SocketAddr]) -> Result<SocketAddr, AddressError> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (text, Some(PORT)),
    };
    let platform = NAMES
        .contains(&name)
        .then_some(port)
        .flatten()
        .map(|port| SocketAddr::new(PLATFORM, port));
    let bare = || {
        text.trim_matches(['[', ']'])
            .parse()
            .map(|ip: IpAddr| SocketAddr::new(ip, PORT))
    };
    let found = platform
        .map_or_else(|| text.parse(), Ok)
        .or_else(|_| bare())
        .map_err(|_| AddressError::NoAddress {
            variable,
            found: text.chars().take(120).collect(),
        })?;
    if ours.contains(&found) {
        return Err(AddressError::Ourselves { variable, found });
    }
    if !is_near(found.ip()) {
        return Err(AddressError::TooFar { variable, found });
    }
    Ok(found)
}

/// What leaves neither the machine nor its hypervisor.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip == PLATFORM_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: Option<&str>, ip: Option<&str>) -> (String, bool) {
        let environment = Environment {
            host: host.map(str::to_owned),
            root: None,
            ip: ip.map(str::to_owned),
            product: None,
        };
        let ours = ["127.0.0.1:8174".parse().unwrap(), "[::1]:8174".parse().unwrap()];
        let (server, error) = Server::of(&environment, &ours);
        assert_eq!(server.grpc, SocketAddr::new(server.http.ip(), 8083));
        (server.http.to_string(), error.is_some())
    }

    #[test]
    fn the_older_name_comes_between_the_two() {
        let text = |text: &str| Some(text.to_owned());
        let mut environment = Environment {
            host: None,
            root: text("127.0.0.3"),
            ip: text("127.0.0.2"),
            product: None,
        };
        assert_eq!(Server::of(&environment, &[]).0.http.to_string(), "127.0.0.3:80");
        environment.host = text("127.0.0.1:99");
        assert_eq!(Server::of(&environment, &[]).0.http.to_string(), "127.0.0.1:99");
    }

    #[test]
    fn the_environment_is_followed_where_it_names_a_near_address() {
        let platform = "169.254.169.254:80";
        for (host, ip, wanted) in [
            (None, None, platform),
            (Some(""), Some(""), platform),
            (Some("127.0.0.1:99"), None, "127.0.0.1:99"),
            (None, Some("127.0.0.2"), "127.0.0.2:80"),
            (Some("127.0.0.1:99"), Some("127.0.0.2"), "127.0.0.1:99"),
            (Some("metadata.google.internal"), None, platform),
            (Some("metadata.google.internal:81"), None, "169.254.169.254:81"),
            (Some("[fd20:ce::254]"), None, "[fd20:ce::254]:80"),
            (Some("[fd20:ce::254]:80"), None, "[fd20:ce::254]:80"),
        ] {
            assert_eq!(of(host, ip), (wanted.to_owned(), false), "{host:?} {ip:?}");
        }
    }

    #[test]
    fn only_a_vm_of_googles_or_a_named_server_is_asked_unasked() {
        let expected = |host: Option<&str>, product: Option<&str>| {
            let environment = Environment {
                host: host.map(str::to_owned),
                root: None,
                ip: None,
                product: product.map(str::to_owned),
            };
            Server::of(&environment, &[]).0.expected
        };
        assert!(expected(None, Some("Google Compute Engine\n")));
        assert!(expected(Some("127.0.0.1:99"), None));
        assert!(!expected(None, None));
        assert!(!expected(None, Some("ThinkPad X1")));
        assert!(
            !expected(Some("evil.example"), Some("ThinkPad X1")),
            "a variable that is not followed names nobody"
        );
    }

    #[test]
    fn neither_ourselves_nor_names_nor_far_addresses_are_followed() {
        for host in [
            "127.0.0.1:8174",
            "[::1]:8174",
            "localhost:99",
            "http://127.0.0.1:99",
            "metadata.google.internal.evil.example",
            "10.0.0.1",
            "169.253.169.254",
            "0.0.0.0:80",
            "[fd20:ce::255]",
            "127.0.0.1:99999",
        ] {
            assert_eq!(
                of(Some(host), None),
                ("169.254.169.254:80".to_owned(), true),
                "{host}"
            );
        }
    }
}
