//! Addresses: listener URLs as people write them, and how they are shown again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aldis_server::{DEFAULT_PORT, Listener};

use super::raw::RawValue;
use crate::machine;

/// What a list of listeners looks like, for error sentences.
pub(crate) const EXAMPLE: &str = "[\"tcp://0.0.0.0:1883\"]";

/// The listeners of a list of URLs, or of text with commas between them.
///
/// The error is the rest of a sentence about the setting.
pub(crate) fn parse_listeners(value: &RawValue) -> Result<Vec<Listener>, String> {
    let expected = || format!("is {value}, but it takes a list of URLs, for example {EXAMPLE}");
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
            // Port 0 is a new port every time, so it may be asked for twice.
            let taken = |other: &Listener| other.address == listener.address && listener.address.port() != 0;
            if listeners.iter().any(taken) {
                return Err(format!("has {} twice; remove one of the two", show(&listener)));
            }
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// An address with a port for the metrics listener; `off` is `None`.
pub(crate) fn parse_metrics(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let url = text.strip_prefix("http://").unwrap_or(text);
    let with_port = match url.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => url.to_owned(),
    };
    with_port.parse().map(Some).map_err(|_| {
        format!(
            "is {text:?}, but it takes an IP address with a port, for example \"127.0.0.1:9234\", or \"off\""
        )
    })
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
        return Err(format!(
            "has {url:?}, which is not a URL; write tcp://HOST:PORT, for example tcp://0.0.0.0:1883"
        ));
    };
    if scheme != "tcp" && scheme != "mqtt" {
        return Err(format!(
            "has {url:?}, but {scheme}:// listeners are not built yet; tcp:// is what this version speaks"
        ));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = split_port(authority).ok_or_else(|| {
        format!(
            "has {url:?}, whose port is not a number from 0 to 65535; write for example tcp://0.0.0.0:1883"
        )
    })?;
    match host {
        "localhost" => Ok(Listener::loopback(port)),
        "*" => {
            let every = if machine::has_ipv6() {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            } else {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            };
            Ok(vec![Listener::tcp(SocketAddr::from((every, port)))])
        }
        _ => match parse_host(host, port) {
            Some(address) => Ok(vec![Listener::tcp(address)]),
            None => Err(format!(
                "has {url:?}, whose host is no address; write an IP address of this machine, 0.0.0.0 or * for \
                 all of them, or localhost (IPv6 in brackets: tcp://[::1]:1883)"
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
        ] {
            assert_eq!(text(urls).unwrap(), expected, "{urls}");
        }
        let every = text("tcp://*:5").unwrap();
        assert!(every == ["tcp://[::]:5"] || every == ["tcp://0.0.0.0:5"], "{every:?}");
    }

    #[test]
    fn bad_urls_are_told_apart() {
        for (urls, expected) in [
            ("0.0.0.0:1883", "is not a URL; write tcp://HOST:PORT"),
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
        assert_eq!(parse_metrics("off"), Ok(None));
        for text in ["127.0.0.1:9234", "localhost:9234", "http://127.0.0.1:9234"] {
            assert_eq!(parse_metrics(text), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 9234)))));
        }
        for text in ["9234", "127.0.0.1", "", "metrics.lan:9234"] {
            assert!(parse_metrics(text).unwrap_err().contains("takes an IP address with a port"), "{text}");
        }
    }
}
