//! RDAP objects as JSON (RFC 9083), from what a world knows.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::model::{Autnum, IpNetwork, Registrant, Registrar, Registration};
use crate::time::rfc3339;
use crate::world::World;

/// What an RDAP path is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An object.
    Found(Value),
    /// The object is kept elsewhere.
    Redirect(String),
    /// There is no such object.
    NotFound,
    /// The path cannot be read.
    BadRequest,
}

pub(crate) fn answer(world: &World, path: &str, base: &str) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let found = |value: Option<Value>| value.map_or(Answer::NotFound, Answer::Found);
    match parts[..] {
        ["domain", name] => match world.registration(&canonical(name)) {
            Some(r) if r.redirected => Answer::Redirect(format!("{base}/registrar/domain/{}", r.domain)),
            other => found(other.map(|r| domain(&r, base))),
        },
        ["registrar", "domain", name] => {
            found(world.registration(&canonical(name)).map(|r| domain(&r, base)))
        }
        ["ip", addr] => match addr.parse::<IpAddr>() {
            Ok(addr) => found(world.network(addr).map(|n| network(&n, base))),
            Err(_) => Answer::BadRequest,
        },
        ["ip", addr, length] => match (addr.parse::<IpAddr>(), length.parse::<u8>()) {
            (Ok(addr), Ok(length)) if length <= if addr.is_ipv4() { 32 } else { 128 } => {
                found(world.network(addr).filter(|n| n.prefix <= length).map(|n| network(&n, base)))
            }
            _ => Answer::BadRequest,
        },
        ["autnum", number] => match number.parse() {
            Ok(number) => found(world.autnum(number).map(|a| autnum(&a, base))),
            Err(_) => Answer::BadRequest,
        },
        ["entity", handle] => found(world.entity(handle).map(|e| entity_answer(&e, base))),
        ["domains", "reverse_search", "entity"] => reverse_search(world, query, base),
        _ => Answer::BadRequest,
    }
}

/// An error object of RFC 9083 section 6.
pub(crate) fn error(code: u16, title: &str) -> Value {
    json!({ "rdapConformance": ["rdap_level_0"], "errorCode": code, "title": title, "description": [title] })
}

/// The bootstrap files of RFC 9224, all pointing at one server.
pub(crate) fn bootstrap(world: &World, kind: &str, base: &str) -> Option<Value> {
    let one = |range: &str| vec![range.to_owned()];
    let services: Vec<String> = match kind {
        "dns.json" => world.tlds(),
        "ipv4.json" => one("0.0.0.0/0"),
        "ipv6.json" => one("::/0"),
        "asn.json" => one("1-4294967294"),
        _ => return None,
    };
    let urls = vec![format!("{base}/")];
    Some(json!({
        "version": "1.0",
        "publication": rfc3339(world.as_of()),
        "description": "the simulated internet's own server",
        "services": [[services, urls]],
    }))
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// RFC 9536, by the registrant's mail address.
fn reverse_search(world: &World, query: &str, base: &str) -> Answer {
    let field = |key: &str| {
        let pair = query.split('&').find_map(|p| p.split_once('=').filter(|(k, _)| *k == key));
        pair.map(|(_, value)| value.replace("%40", "@"))
    };
    let role = field("role").unwrap_or_else(|| "registrant".to_owned());
    match field("email") {
        Some(email) if role == "registrant" => {
            let found = world.registered_by(&email);
            let results: Vec<Value> =
                found.iter().filter_map(|d| world.registration(d)).map(|r| domain(&r, base)).collect();
            Answer::Found(json!({
                "rdapConformance": ["rdap_level_0", "reverse_search"],
                "domainSearchResults": results,
            }))
        }
        _ => Answer::BadRequest,
    }
}

fn domain(r: &Registration, base: &str) -> Value {
    let mut object = json!({
        "rdapConformance": ["rdap_level_0", "icann_rdap_response_profile_1"],
        "objectClassName": "domain",
        "handle": r.handle,
        "ldhName": r.domain,
        "status": r.status,
        "events": [
            event("registration", r.registered),
            event("expiration", r.expires),
            event("last changed", r.changed),
        ],
        "nameservers": r.nameservers.iter()
            .map(|n| json!({ "objectClassName": "nameserver", "ldhName": n }))
            .collect::<Vec<_>>(),
        "entities": [entity(&r.registrant, &["registrant"]), registrar(&r.registrar)],
        "secureDNS": { "delegationSigned": false },
        "links": [link(base, &format!("domain/{}", r.domain))],
    });
    if r.registrant.redacted {
        object["rdapConformance"] = json!(["rdap_level_0", "icann_rdap_response_profile_1", "redacted"]);
        object["redacted"] = redactions();
    }
    object
}

/// RFC 9537: what is withheld, and from where.
fn redactions() -> Value {
    let field = |name: &str, path: &str, method: &str| {
        json!({
            "name": { "description": name },
            "prePath": format!("$.entities[?(@.roles[0]=='registrant')].vcardArray[1][?(@[0]=='{path}')]"),
            "method": method,
            "reason": { "description": "Server policy" },
        })
    };
    json!([field("Registrant Name", "fn", "emptyValue"), field("Registrant Email", "email", "removal")])
}

fn network(n: &IpNetwork, base: &str) -> Value {
    let v4 = n.start.is_ipv4();
    json!({
        "rdapConformance": ["rdap_level_0", "cidr0", "arin_originas0"],
        "objectClassName": "ip network",
        "handle": n.handle,
        "startAddress": n.start.to_string(),
        "endAddress": n.end().to_string(),
        "ipVersion": if v4 { "v4" } else { "v6" },
        "name": n.name,
        "type": "ALLOCATED",
        "country": n.country,
        "status": ["active"],
        "cidr0_cidrs": [{ (if v4 { "v4prefix" } else { "v6prefix" }): n.start.to_string(), "length": n.prefix }],
        "arin_originas0_originautnums": [n.asn],
        "events": [event("registration", n.registered), event("last changed", n.registered)],
        "entities": [entity(&n.holder, &["registrant"]), abuse(&n.abuse_email)],
        "links": [link(base, &format!("ip/{}", n.cidr()))],
    })
}

fn autnum(a: &Autnum, base: &str) -> Value {
    json!({
        "rdapConformance": ["rdap_level_0"],
        "objectClassName": "autnum",
        "handle": format!("AS{}", a.number),
        "startAutnum": a.number,
        "endAutnum": a.number,
        "name": a.name,
        "country": a.country,
        "status": ["active"],
        "events": [event("registration", a.registered), event("last changed", a.registered)],
        "entities": [entity(&a.holder, &["registrant"]), abuse(&a.abuse_email)],
        "links": [link(base, &format!("autnum/{}", a.number))],
    })
}

fn entity_answer(e: &Registrant, base: &str) -> Value {
    let mut object = entity(e, &["registrant"]);
    object["rdapConformance"] = json!(["rdap_level_0"]);
    let mut links = vec![link(base, &format!("entity/{}", e.handle))];
    if !e.redacted && !e.email.is_empty() {
        let href = format!("{base}/domains/reverse_search/entity?email={}&role=registrant", e.email);
        links.push(json!({ "value": href, "rel": "related", "href": href, "type": "application/rdap+json" }));
    }
    object["links"] = json!(links);
    object
}

fn registrar(r: &Registrar) -> Value {
    json!({
        "objectClassName": "entity",
        "handle": r.iana_id.to_string(),
        "roles": ["registrar"],
        "publicIds": [{ "type": "IANA Registrar ID", "identifier": r.iana_id.to_string() }],
        "vcardArray": vcard(&[("fn", &r.name)], ""),
        "entities": [abuse(&r.abuse_email)],
    })
}

fn abuse(email: &str) -> Value {
    json!({
        "objectClassName": "entity",
        "roles": ["abuse"],
        "vcardArray": vcard(&[("fn", "Abuse Contact"), ("email", email)], ""),
    })
}

fn entity(e: &Registrant, roles: &[&str]) -> Value {
    let card = if e.redacted {
        vcard(&[("fn", ""), ("org", &e.org), ("email", &e.email)], &e.country)
    } else {
        let shown = if e.name.is_empty() { &e.org } else { &e.name };
        vcard(&[("fn", shown), ("org", &e.org), ("email", &e.email)], &e.country)
    };
    let mut object = json!({ "objectClassName": "entity", "roles": roles, "vcardArray": card });
    if !e.handle.is_empty() {
        object["handle"] = json!(e.handle);
    }
    object
}

/// A jCard (RFC 7095); only `fn` may be empty.
fn vcard(fields: &[(&str, &str)], country: &str) -> Value {
    let mut properties = vec![json!(["version", {}, "text", "4.0"])];
    for (key, value) in fields.iter().filter(|(key, value)| *key == "fn" || !value.is_empty()) {
        properties.push(json!([key, {}, "text", value]));
    }
    if !country.is_empty() {
        properties.push(json!(["adr", { "cc": country }, "text", ["", "", "", "", "", "", ""]]));
    }
    json!(["vcard", properties])
}

fn event(action: &str, at: i64) -> Value {
    json!({ "eventAction": action, "eventDate": rfc3339(at) })
}

fn link(base: &str, path: &str) -> Value {
    let href = format!("{base}/{path}");
    json!({ "value": href, "rel": "self", "href": href, "type": "application/rdap+json" })
}
