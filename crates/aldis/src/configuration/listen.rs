//! Addresses: listener URLs as people write them, and how they are shown again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aldis_server::{DEFAULT_PORT, Listener};

use super::raw::RawValue;

/// What a list of listeners looks like, for error sentences.
const EXAMPLE: &str = "[\"tcp://0.0.0.0:1883\"]";

/// The port of the Prometheus exporters for Mosquitto, for error sentences.
const METRICS_PORT: u16 = 9234;

/// The listeners of a list of URLs, or of text with commas between them.
///
/// The error is the rest of a sentence about the setting.
pub(crate) fn parse_listeners(value: &RawValue) -> Result<Vec<Listener>, String> {
    let expected = || match value {
        RawValue::Whole(number) if u16::try_from(*number).is_ok() => {
            format!("is {value}, but it takes a list of URLs; did you mean \"tcp://127.0.0.1:{number}\"?")
        }
        _ => format!("is {value}, but it takes a list of URLs, for example {EXAMPLE}"),
    };
    let texts: Vec<&str> = match value {
        RawValue::Text(text) => vec![text.as_str()],
        RawValue::List(items) => items.iter().map(as_text).collect::<Option<_>>().ok_or_else(expected)?,
        _ => return Err(expected()),
    };
    let commas = texts.iter().flat_map(|text| text.split(','));
    let urls: Vec<&str> = commas.map(str::trim).filter(|url| !url.is_empty()).collect();
    if urls.is_empty() {
        return Err(format!("names no listener; leave it out or write for example {EXAMPLE}"));
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for url in urls {
        for listener in parse_url(url)? {
            let other = listeners.iter().find(|other| collide(other.address, listener.address));
            if let Some(other) = other {
                return Err(collision(other, &listener));
            }
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// Whether the system lets only one of two listeners have what it asks for. Port 0 is a new port
/// every time. The families are apart: a listener on `[::]` serves IPv6 alone.
pub(crate) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_every = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_port = one.port() == other.port() && one.port() != 0;
    same_port && one.is_ipv4() == other.is_ipv4() && (is_every || one == other)
}

fn collision(one: &Listener, other: &Listener) -> String {
    if one.address == other.address {
        return format!("has {} twice; remove one of the two", show(one));
    }
    let (every, one) = if one.address.ip().is_unspecified() { (one, other) } else { (other, one) };
    let (every, family) = (show(every), if every.address.is_ipv4() { "IPv4" } else { "IPv6" });
    let one = show(one);
    format!("has {one} and {every}, which is every {family} address; remove {one}, or give it another port")
}

/// An address with a port for the metrics listener; `off` is `None`.
pub(crate) fn parse_metrics(value: &RawValue) -> Result<Option<SocketAddr>, String> {
    let text = match value {
        RawValue::Text(text) if text == "off" => return Ok(None),
        RawValue::Text(text) => text.clone(),
        other => other.to_string(),
    };
    let url = text.strip_prefix("http://").unwrap_or(&text);
    let url = match url.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => url.to_owned(),
    };
    if let (RawValue::Text(_), Ok(address)) = (value, url.parse()) {
        return Ok(Some(canonical(address)));
    }
    let expected = format!("is {value}, but it takes an IP address with a port");
    Err(match metrics_meant(&url) {
        Some(meant) => format!("{expected}, or \"off\"; did you mean \"{meant}\"?"),
        None => format!("{expected}, for example \"127.0.0.1:{METRICS_PORT}\", or \"off\""),
    })
}

/// The address that was probably meant by a port alone, an address alone, or a URL.
fn metrics_meant(url: &str) -> Option<SocketAddr> {
    let url = url.split('/').next().unwrap_or(url);
    if let Some(port) = port_alone(url) {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let address = url.parse::<IpAddr>().map(|address| SocketAddr::from((address, METRICS_PORT)));
    url.parse().or(address).ok()
}

/// `1883` or `:1883`.
fn port_alone(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':').unwrap_or(text);
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// An IPv4 address that is written as an IPv6 one is an IPv4 address: the other half of its socket
/// would serve nobody.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        // With its scope, which `IpAddr` does not have.
        IpAddr::V6(_) => address,
    }
}

/// The listener as a URL: `tcp://[::1]:1883`.
pub(crate) fn show(listener: &Listener) -> String {
    format!("tcp://{}", listener.address)
}

fn as_text(value: &RawValue) -> Option<&str> {
    if let RawValue::Text(text) = value { Some(text) } else { None }
}

fn parse_url(url: &str) -> Result<Vec<Listener>, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let meant = match port_alone(url) {
            Some(port) => format!("tcp://127.0.0.1:{port}"),
            None => format!("tcp://{url}"),
        };
        return Err(match parse_url(&meant) {
            Ok(_) => format!("has {url:?}, which is not a URL; did you mean {meant}?"),
            Err(_) => format!(
                "has {url:?}, which is not a URL; write tcp://HOST:PORT, for example tcp://0.0.0.0:1883"
            ),
        });
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "tcp" && scheme != "mqtt" {
        return Err(format!(
            "has {url:?}, but {scheme}:// listeners are not built yet; tcp:// is what this version speaks"
        ));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((_, path)) = authority.split_once('/') {
        return Err(format!("has {url:?}, which has a path \"/{path}\"; a tcp:// URL ends after the port"));
    }
    let (host, port) = split_port(authority).ok_or_else(|| {
        format!(
            "has {url:?}, whose port is not a number from 0 to 65535; write for example tcp://0.0.0.0:1883"
        )
    })?;
    match host {
        "localhost" => Ok(Listener::loopback(port)),
        // One socket a family: a socket for both shows IPv4 clients with IPv6 addresses, and where
        // IPv6 is off it cannot be had.
        "*" => Ok(vec![
            Listener::tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Listener { address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), optional: true },
        ]),
        _ => match parse_host(host, port) {
            Some(address) => Ok(vec![Listener::tcp(canonical(address))]),
            None => Err(format!(
                "has {url:?}, whose host is no address; write an IP address of this machine, 0.0.0.0 for \
                 every IPv4 address, * for every address, or localhost (IPv6 in brackets: tcp://[::1]:1883)"
            )),
        },
    }
}

/// Host and port; the port may be missing. `None` if it is there and no port.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    // A colon inside brackets belongs to an IPv6 address.
    let bracket = authority.rfind(']').unwrap_or(0);
    match authority.rfind(':').filter(|&colon| colon >= bracket) {
        Some(colon) => {
            let (host, port) = authority.split_at_checked(colon)?;
            let port = port.strip_prefix(':')?;
            // A `+` would parse.
            let port = port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse().ok())??;
            Some((host, port))
        }
        None => Some((authority, DEFAULT_PORT)),
    }
}

fn parse_host(host: &str, port: u16) -> Option<SocketAddr> {
    if host.starts_with('[') {
        // The standard library reads scope ids (`%2`) only together with a port.
        return format!("{host}:{port}").parse().ok();
    }
    let address: Ipv4Addr = host.parse().ok()?;
    Some(SocketAddr::from((address, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Vec<String>, String> {
        let listeners = parse_listeners(&RawValue::Text(text.to_owned()))?;
        Ok(listeners
            .iter()
            .map(|listener| format!("{}{}", show(listener), if listener.optional { "?" } else { "" }))
            .collect())
    }

    #[test]
    fn urls_become_listeners() {
        for (urls, expected) in [
            ("tcp://0.0.0.0:1883", &["tcp://0.0.0.0:1883"][..]),
            ("tcp://0.0.0.0", &["tcp://0.0.0.0:1883"]),
            ("mqtt://10.0.0.1:1884/", &["tcp://10.0.0.1:1884"]),
            ("tcp://[::]:1", &["tcp://[::]:1"]),
            ("tcp://[::1]", &["tcp://[::1]:1883"]),
            ("tcp://[fe80::1%2]:7", &["tcp://[fe80::1%2]:7"]),
            ("tcp://localhost:9", &["tcp://127.0.0.1:9", "tcp://[::1]:9?"]),
            ("tcp://127.0.0.1:1, tcp://127.0.0.1:2,", &["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]),
            ("tcp://127.0.0.1:0,tcp://127.0.0.1:0", &["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"]),
            ("tcp://*:5", &["tcp://0.0.0.0:5", "tcp://[::]:5?"]),
            ("tcp://[::ffff:127.0.0.1]:1", &["tcp://127.0.0.1:1"]),
            ("TCP://127.0.0.1", &["tcp://127.0.0.1:1883"]),
        ] {
            assert_eq!(text(urls).unwrap(), expected, "{urls}");
        }
    }

    #[test]
    fn bad_urls_are_told_apart() {
        for (urls, expected) in [
            ("0.0.0.0:1883", "is not a URL; did you mean tcp://0.0.0.0:1883?"),
            ("localhost", "is not a URL; did you mean tcp://localhost?"),
            (":1883", "is not a URL; did you mean tcp://127.0.0.1:1883?"),
            ("1883", "is not a URL; did you mean tcp://127.0.0.1:1883?"),
            ("70000", "is not a URL; write tcp://HOST:PORT"),
            ("broker.lan", "is not a URL; write tcp://HOST:PORT"),
            ("tcp://127.0.0.1:1883/x", "has a path \"/x\"; a tcp:// URL ends after the port"),
            ("tls://0.0.0.0:8883", "tls:// listeners are not built yet; tcp:// is what this version speaks"),
            ("ws://0.0.0.0", "ws:// listeners are not built yet; tcp:// is what this version speaks"),
            ("tcp://0.0.0.0:70000", "whose port is not a number from 0 to 65535"),
            ("tcp://0.0.0.0:", "whose port is not a number"),
            ("tcp://0.0.0.0:+1", "whose port is not a number"),
            ("tcp://broker.lan:1883", "whose host is no address"),
            ("tcp://::1:1883", "whose host is no address"),
            ("tcp://:1883", "whose host is no address"),
            ("tcp://localhost:1,tcp://127.0.0.1:1", "has tcp://127.0.0.1:1 twice"),
            ("", "names no listener"),
        ] {
            let error = text(urls).unwrap_err();
            assert!(error.contains(expected), "{urls}: {error}");
        }
        let list = RawValue::List(vec![RawValue::Whole(1883)]);
        assert!(parse_listeners(&list).unwrap_err().contains("takes a list of URLs"));
        assert!(
            parse_listeners(&RawValue::Whole(1883))
                .unwrap_err()
                .starts_with("is 1883, but it takes a list of URLs")
        );
    }

    #[test]
    fn metrics_addresses_need_a_port() {
        let parse_metrics = |text: &str| parse_metrics(&RawValue::Text(text.to_owned()));
        assert_eq!(parse_metrics("off"), Ok(None));
        for text in ["127.0.0.1:9234", "localhost:9234", "http://127.0.0.1:9234"] {
            assert_eq!(parse_metrics(text), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 9234)))));
        }
        for (text, way_out) in [
            ("9234", "; did you mean \"127.0.0.1:9234\"?"),
            (":9234", "; did you mean \"127.0.0.1:9234\"?"),
            ("127.0.0.1", "; did you mean \"127.0.0.1:9234\"?"),
            ("::1", "; did you mean \"[::1]:9234\"?"),
            ("http://127.0.0.1:9234/metrics", "; did you mean \"127.0.0.1:9234\"?"),
            ("", ", for example \"127.0.0.1:9234\", or \"off\""),
            ("70000", ", for example \"127.0.0.1:9234\", or \"off\""),
            ("metrics.lan:9234", ", for example \"127.0.0.1:9234\", or \"off\""),
        ] {
            let error = parse_metrics(text).unwrap_err();
            assert!(error.contains("takes an IP address with a port") && error.ends_with(way_out), "{error}");
        }
    }
}
