//! RDAP objects as pairs and facts (RFC 9083).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::time::parse_time;
use serde_json::Value;

use super::contact::{Contact, contacts};
use crate::sources::Found;
use crate::sources::dns_origin::country;

/// Values of one list that are read.
const MAX_LIST: usize = 64;
/// Blocks that a range is made of: an IPv6 one of at most 254.
const MAX_BLOCKS: usize = 256;

/// A domain.
pub(in crate::sources) fn domain(key: &Observable, object: &Value, found: &mut Found) {
    common(key, object, found);
    for server in list(object, "nameservers") {
        let name = server.get("ldhName").and_then(Value::as_str).and_then(Name::from_text);
        if let Some(name) = name.filter(|n| n.wire().len() > 1) {
            found.pair(key, Relation::NameServer, Observable::from_name(&name));
        }
    }
    for registrar in contacts(object).iter().filter(|c| c.has_role("registrar")) {
        // A registrar's name holds no person, whatever words it is made of.
        let name = if registrar.org.is_empty() { &registrar.name } else { &registrar.org };
        if let Some(identity) = Observable::from_identity(name) {
            found.pair(key, Relation::Registrar, identity);
        }
    }
}

/// An address block, asked for by an address in it or by a block; false where it does not
/// hold the key, and so answers another question.
pub(in crate::sources) fn network(key: &Observable, object: &Value, found: &mut Found) -> bool {
    let holds = |b: &&Observable| kudzu_shared::job::Policy::covers(std::slice::from_ref(*b), key);
    let blocks = blocks(object);
    let Some(block) = blocks.iter().find(holds) else { return false };
    found.pair(key, Relation::WithinNetblock, block.clone());
    common(block, object, found);
    if let Some(code) = object.get("country").and_then(Value::as_str) {
        country(block, code, found);
    }
    if let Some(name) = object.get("name").and_then(Value::as_str) {
        found.text(block, FactName::Label, name);
    }
    for asn in list(object, "arin_originas0_originautnums").filter_map(Value::as_u64) {
        if let Ok(asn) = u32::try_from(asn) {
            found.pair(key, Relation::AnnouncedBy, Observable::from_asn(asn));
            found.pair(block, Relation::AnnouncedBy, Observable::from_asn(asn));
        }
    }
    true
}

/// An AS number.
pub(in crate::sources) fn autnum(key: &Observable, object: &Value, found: &mut Found) {
    common(key, object, found);
    if let Some(code) = object.get("country").and_then(Value::as_str) {
        country(key, code, found);
    }
    if let Some(name) = object.get("name").and_then(Value::as_str) {
        found.text(key, FactName::Label, name);
    }
}

/// The name of a domain object, where it is one.
pub(in crate::sources) fn domain_name(object: &Value) -> Option<Observable> {
    let text = |field| object.get(field).and_then(Value::as_str);
    let Some(ldh) = text("ldhName") else {
        return Observable::parse_as(Kind::DomainName, text("unicodeName")?).ok();
    };
    let name = Name::from_text(ldh)?;
    (name.wire().len() > 1).then(|| Observable::from_name(&name))
}

/// Events, status, and contacts: what all objects have.
fn common(key: &Observable, object: &Value, found: &mut Found) {
    for event in list(object, "events") {
        let text = |field| event.get(field).and_then(Value::as_str);
        let name = match text("eventAction").map(str::to_ascii_lowercase).as_deref() {
            Some("registration") => FactName::Registered,
            Some("expiration") => FactName::Expires,
            Some("last changed") => FactName::Changed,
            _ => continue,
        };
        if let Some(at) = text("eventDate").and_then(parse_time) {
            found.fact(key, name, FactValue::Time(at));
        }
    }
    for status in list(object, "status").filter_map(Value::as_str) {
        found.text(key, FactName::Status, status);
    }
    let withheld = Withheld::of(object);
    let mut hidden = withheld.any;
    let contacts = contacts(object);
    for contact in contacts.iter().filter(|c| c.has_role("registrant")) {
        hidden |= registrant(key, contact, &withheld, found);
    }
    for contact in contacts.iter().filter(|c| c.has_role("abuse")) {
        for mailbox in contact.mailboxes().0 {
            found.pair(key, Relation::AbuseMailbox, mailbox);
        }
    }
    if hidden {
        found.facts.push(Fact {
            subject: key.clone(),
            name: FactName::Redacted,
            value: FactValue::Yes,
            personal: false,
        });
    }
}

/// Who holds it; true where something is withheld. Everything here may name a person.
fn registrant(key: &Observable, contact: &Contact, withheld: &Withheld, found: &mut Found) -> bool {
    let mut shown = contact.clone();
    if withheld.name {
        shown.name.clear();
    }
    if withheld.org {
        shown.org.clear();
    }
    if withheld.email {
        shown.emails.clear();
    }
    let ((identities, a), (mailboxes, b)) = (shown.identities(), shown.mailboxes());
    // A service that stands for one holder stands for all of it: its mailbox ties nobody.
    if !a {
        let holders = identities.into_iter().map(|i| (Relation::RegisteredBy, i));
        let boxes = mailboxes.into_iter().map(|m| (Relation::ContactMailbox, m));
        let pairs = holders.chain(boxes).filter(|(_, v)| v != key);
        found.pairs.extend(pairs.map(|(r, v)| Pair::new(key.clone(), r, v).personal()));
    }
    a || b
}

/// What the server says that it withholds of the registrant (RFC 9537).
#[derive(Debug, Default)]
struct Withheld {
    any: bool,
    name: bool,
    org: bool,
    email: bool,
}

impl Withheld {
    fn of(object: &Value) -> Self {
        let mut all = Self::default();
        for entry in list(object, "redacted") {
            let words = ["description", "type"].map(|f| entry.get("name").and_then(|n| n.get(f)));
            let paths = ["prePath", "postPath", "replacementPath"].map(|f| entry.get(f));
            let texts = words.into_iter().chain(paths).flatten().filter_map(Value::as_str);
            let text = texts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ");
            if !text.contains("registrant") {
                continue;
            }
            all.any = true;
            all.email |= text.contains("email");
            all.org |= text.contains("organization") || text.contains("'org'");
            all.name |= text.contains("registrant name") || text.contains("'fn'");
        }
        all
    }
}

/// The blocks that an object covers: as it lists them (cidr0), then from its range.
fn blocks(object: &Value) -> Vec<Observable> {
    let listed = list(object, "cidr0_cidrs").filter_map(|c| {
        let prefix = c.get("v4prefix").or_else(|| c.get("v6prefix"))?.as_str()?;
        let len = u8::try_from(c.get("length")?.as_u64()?).ok()?;
        Observable::from_netblock(prefix.parse().ok()?, len)
    });
    let mut all: Vec<Observable> = listed.collect();
    let address = |field| object.get(field).and_then(Value::as_str)?.parse::<IpAddr>().ok();
    let nets: Vec<IpNet> = match (address("startAddress"), address("endAddress")) {
        (Some(IpAddr::V4(a)), Some(IpAddr::V4(b))) if a <= b => {
            Ipv4Subnets::new(a, b, 0).map(IpNet::V4).take(MAX_BLOCKS).collect()
        }
        (Some(IpAddr::V6(a)), Some(IpAddr::V6(b))) if a <= b => {
            Ipv6Subnets::new(a, b, 0).map(IpNet::V6).take(MAX_BLOCKS).collect()
        }
        _ => Vec::new(),
    };
    all.extend(nets.into_iter().filter_map(|n| Observable::from_netblock(n.addr(), n.prefix_len())));
    all
}

fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.get(field).and_then(Value::as_array).into_iter().flatten().take(MAX_LIST)
}

/// Whether an object says that it is of this class (RFC 9083 section 4.9).
pub(in crate::sources) fn is_class(object: &Value, class: &str) -> bool {
    object.is_object() && object.get("objectClassName").and_then(Value::as_str).is_some_and(|c| c == class)
}

/// The registry's name of a top-level domain: the last label as text, in lower case.
pub(in crate::sources) fn tld(name: &Name) -> Option<String> {
    let label = name.labels().last()?;
    std::str::from_utf8(label).ok().map(str::to_owned)
}

/// The part of an e-mail address whose registry is asked.
pub(in crate::sources) fn mail_domain(mailbox: &Observable) -> Option<Name> {
    (mailbox.kind() == Kind::EmailAddr).then(|| mailbox.host()).flatten()?.name()
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
