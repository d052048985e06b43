//! Which RDAP server is in charge (RFC 9224). Each registry is fetched once a day and process;
//! a failure is kept for a short while, so that it is not asked again by every lookup. Where
//! a registry cannot be fetched anew, the old one is used on.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use kudzu_shared::cache::ttl;
use kudzu_shared::outcome::Verdict;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::MAX_OBJECT;
use crate::http::{Exchange, Request};

/// How long a failure to fetch a registry stands that may be over soon: no longer than that
/// of a lookup, which is asked again in a later round.
const PAUSE: Duration = ttl::FAILED;
/// How long another failure stands.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// How long a registry is used before it is fetched anew (RFC 9224 section 8).
const FRESH: Duration = Duration::from_secs(86_400);

/// For what a server is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Wanted<'a> {
    /// The registry of this top-level domain, in lower case.
    Tld(&'a str),
    /// The registry of this address.
    Ip(IpAddr),
    /// The registry of this AS number.
    Asn(u32),
}

#[derive(Debug, Default)]
pub(super) struct Bootstrap {
    dns: Registry,
    ipv4: Registry,
    ipv6: Registry,
    asn: Registry,
}

#[derive(Debug, Default)]
struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<Services>,
    failed: Option<Verdict>,
    /// When it is fetched; not set before the first time.
    due: Option<Instant>,
}

/// A registry file: services, each a list of entries and a list of base URLs.
#[derive(Debug, Deserialize)]
struct File {
    services: Vec<Vec<Vec<String>>>,
}

#[derive(Debug, Default)]
struct Services {
    rows: Vec<(Vec<String>, Url)>,
}

impl Bootstrap {
    /// The base URL of the server in charge. Single flight: who comes while a registry is
    /// fetched waits for it.
    pub(super) async fn server(
        &self,
        base: &Url,
        wanted: Wanted<'_>,
        exchange: &mut Exchange<'_>,
        request: impl Fn(Url) -> Request,
    ) -> Result<Url, Verdict> {
        let (registry, file) = match wanted {
            Wanted::Tld(_) => (&self.dns, "dns.json"),
            Wanted::Ip(IpAddr::V4(_)) => (&self.ipv4, "ipv4.json"),
            Wanted::Ip(IpAddr::V6(_)) => (&self.ipv6, "ipv6.json"),
            Wanted::Asn(_) => (&self.asn, "asn.json"),
        };
        let mut state = registry.0.lock().await;
        if state.due.is_none_or(|at| at <= Instant::now()) {
            let fetched = fetch(base, file, exchange, request).await;
            let now = Instant::now();
            match fetched {
                Ok(services) => {
                    *state = State { known: Some(services), failed: None, due: Some(now + FRESH) };
                }
                // This lookup's own deadline says nothing of the registry.
                Err(verdict @ (Verdict::Deadline | Verdict::Throttled)) if state.known.is_none() => {
                    return Err(verdict);
                }
                Err(Verdict::Deadline | Verdict::Throttled) => {}
                Err(verdict) => {
                    let pause = if verdict.is_transient() { PAUSE } else { LONG_PAUSE };
                    (state.failed, state.due) = (Some(verdict), Some(now + pause));
                }
            }
        }
        match (&state.known, state.failed) {
            // No server in charge: nobody can be asked.
            (Some(services), _) => services.find(wanted).cloned().ok_or(Verdict::Unconfigured),
            (None, failed) => Err(failed.unwrap_or(Verdict::ServFail)),
        }
    }
}

async fn fetch(
    base: &Url,
    file: &str,
    exchange: &mut Exchange<'_>,
    request: impl Fn(Url) -> Request,
) -> Result<Services, Verdict> {
    let url = base.join(file).map_err(|_| Verdict::FormErr)?;
    let request = Request { max_body: Some(MAX_OBJECT), ..request(url) };
    let response = exchange.get(&request).await?;
    parse(&response.body).ok_or(Verdict::Malformed)
}

fn parse(body: &[u8]) -> Option<Services> {
    let file: File = serde_json::from_slice(body).ok()?;
    let mut rows = Vec::new();
    for service in file.services {
        let [entries, urls] = <[Vec<String>; 2]>::try_from(service).ok()?;
        let urls = urls.iter().filter_map(|u| Url::parse(&format!("{}/", u.trim_end_matches('/'))).ok());
        // RFC 9224 section 3: prefer HTTPS.
        let best =
            urls.filter(|u| matches!(u.scheme(), "https" | "http")).min_by_key(|u| u.scheme() != "https");
        rows.extend(best.map(|url| (entries.iter().map(|e| e.to_ascii_lowercase()).collect(), url)));
    }
    Some(Services { rows })
}

impl Services {
    fn find(&self, wanted: Wanted<'_>) -> Option<&Url> {
        let entries =
            self.rows.iter().flat_map(|(entries, url)| entries.iter().map(move |e| (e.as_str(), url)));
        let ranked = entries.filter_map(|(entry, url)| Some((rank(entry, wanted)?, url)));
        // The narrowest entry; the first of equal ones.
        ranked.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, url)| url)
    }
}

/// How narrowly an entry covers what is wanted; `None` where it does not.
fn rank(entry: &str, wanted: Wanted<'_>) -> Option<u32> {
    match wanted {
        Wanted::Tld(tld) => (entry == tld).then_some(0),
        Wanted::Ip(ip) => {
            let net: IpNet = entry.parse().ok()?;
            net.contains(&ip).then(|| u32::from(net.prefix_len()))
        }
        Wanted::Asn(n) => {
            let (low, high) = entry.split_once('-').unwrap_or((entry, entry));
            let range = low.trim().parse::<u32>().ok()?..=high.trim().parse::<u32>().ok()?;
            range.contains(&n).then(|| u32::MAX - (range.end() - range.start()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version":"1.0","services":[
        [["com","NET"],["http://plain.example/x/","https://rdap.example/com"]],
        [["192.0.0.0/8","2001:db8::/32"],["https://wide.example/"]],
        [["192.0.2.0/24"],["https://narrow.example/"]],
        [["64496-64511","65536"],["https://asn.example/"]],
        [["bad"],["ftp://x.example/", "no url"]]]}"#;

    #[test]
    fn the_narrowest_entry_over_https() {
        let s = parse(FILE.as_bytes()).unwrap();
        let find = |w| s.find(w).map(Url::as_str);
        assert_eq!(find(Wanted::Tld("net")), Some("https://rdap.example/com/"));
        assert_eq!(find(Wanted::Tld("org")), None);
        assert_eq!(find(Wanted::Tld("bad")), None);
        assert_eq!(find(Wanted::Ip([192, 0, 2, 1].into())), Some("https://narrow.example/"));
        assert_eq!(find(Wanted::Ip([192, 9, 2, 1].into())), Some("https://wide.example/"));
        assert_eq!(find(Wanted::Ip("2001:db8::1".parse().unwrap())), Some("https://wide.example/"));
        assert_eq!(find(Wanted::Asn(64500)), Some("https://asn.example/"));
        assert_eq!(find(Wanted::Asn(65536)), Some("https://asn.example/"));
        assert_eq!(find(Wanted::Asn(1)), None);
    }

    #[test]
    fn damaged_files_are_refused() {
        for bad in ["", "[]", "{}", r#"{"services":[[["a"]]]}"#, r#"{"services":[[["a"],["b"],["c"]]]}"#] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
