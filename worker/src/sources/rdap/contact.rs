//! Contacts: jCard (RFC 7095), roles, and what is withheld.

use kudzu_shared::observable::{Kind, Observable};
use serde_json::Value;

/// Contacts read of one object, at any depth.
const MAX_CONTACTS: usize = 64;
/// Contacts within contacts.
const MAX_DEPTH: u8 = 4;

/// Words that stand where a person or company would: privacy services and redactions. Their
/// names are shared by millions and tie nobody to anybody.
const PRIVACY: [&str; 28] = [
    "redacted",
    "privacy",
    "private registration",
    "private registrant",
    "private person",
    "registration private",
    "registered privately",
    "by proxy",
    "proxy service",
    "proxy registration",
    "whoisguard",
    "whois guard",
    "whois agent",
    "data protected",
    "protected customer",
    "not disclosed",
    "non-public",
    "withheld",
    "identity protect",
    "statutory masking",
    "gdpr",
    "masked by",
    "hidden by",
    "anonymous",
    "anonymize",
    "undisclosed",
    "not available",
    "contact domain holder",
];

/// A contact of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sources) struct Contact {
    /// Its roles (RFC 9083 section 10.2.4), in lower case.
    pub(in crate::sources) roles: Vec<String>,
    /// `fn`.
    pub(in crate::sources) name: String,
    /// `org`.
    pub(in crate::sources) org: String,
    /// `email`, each.
    pub(in crate::sources) emails: Vec<String>,
    /// Whether `kind` says that it is no person.
    pub(in crate::sources) is_org: bool,
}

impl Contact {
    pub(in crate::sources) fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }

    /// Organisation and name as identities, each once; texts of privacy services left out.
    /// The second tells whether any was left out.
    pub(in crate::sources) fn identities(&self) -> (Vec<Observable>, bool) {
        let mut all = Vec::new();
        let mut withheld = false;
        for text in [&self.org, &self.name] {
            if is_privacy(text) {
                withheld = true;
            } else if let Some(identity) = Observable::from_identity(text)
                && !all.contains(&identity)
            {
                all.push(identity);
            }
        }
        (all, withheld)
    }

    /// The mailboxes that can be read, those of privacy services left out; the second tells
    /// whether any was.
    pub(in crate::sources) fn mailboxes(&self) -> (Vec<Observable>, bool) {
        let plain = |text: &&String| !is_privacy(text);
        let read = |text: &String| Observable::parse_as(Kind::EmailAddr, text).ok();
        let all = self.emails.iter().filter(plain).filter_map(read).collect();
        (all, self.emails.iter().any(|e| is_privacy(e)))
    }
}

/// Whether a text stands for somebody who does not want to be named.
pub(in crate::sources) fn is_privacy(text: &str) -> bool {
    let text = text.to_lowercase();
    PRIVACY.iter().any(|word| text.contains(word))
}

/// The contacts of an object and those within them.
pub(in crate::sources) fn contacts(object: &Value) -> Vec<Contact> {
    let mut all = Vec::new();
    collect(object, MAX_DEPTH, &mut all);
    all
}

fn collect(object: &Value, depth: u8, all: &mut Vec<Contact>) {
    let Some(entities) = object.get("entities").and_then(Value::as_array).filter(|_| depth > 0) else {
        return;
    };
    for entity in entities {
        if all.len() >= MAX_CONTACTS {
            return;
        }
        all.push(contact(entity));
        collect(entity, depth - 1, all);
    }
}

/// One entity as a contact.
pub(in crate::sources) fn contact(entity: &Value) -> Contact {
    let list = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
    let roles = list(entity.get("roles"));
    let mut contact = Contact {
        roles: roles.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect(),
        ..Contact::default()
    };
    // ["vcard", [[name, parameters, type, value...], ...]]
    let properties = entity.get("vcardArray").and_then(|v| v.get(1));
    for property in list(properties).iter().take(MAX_CONTACTS) {
        let (Some(name), Some(value)) = (property.get(0).and_then(Value::as_str), property.get(3)) else {
            continue;
        };
        let value = text(value);
        match name.to_ascii_lowercase().as_str() {
            "fn" if contact.name.is_empty() => contact.name = value,
            "org" if contact.org.is_empty() => contact.org = value,
            "email" if !value.is_empty() && contact.emails.len() < 8 => contact.emails.push(value),
            "kind" => {
                contact.is_org = value.eq_ignore_ascii_case("org") || value.eq_ignore_ascii_case("group")
            }
            _ => {}
        }
    }
    contact
}

/// A value that is text, or a list of it (an organisation and its units: the first counts).
fn text(value: &Value) -> String {
    let first = value.as_array().and_then(|l| l.first()).unwrap_or(value);
    first.as_str().unwrap_or_default().trim().trim_start_matches("mailto:").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_jcard_with_its_roles() {
        let object = json!({"entities": [{
            "roles": ["Registrant"],
            "vcardArray": ["vcard", [
                ["version", {}, "text", "4.0"], ["fn", {}, "text", "Jo Doe"], ["kind", {}, "text", "org"],
                ["org", {}, "text", ["Evil Ltd", "Unit"]], ["email", {}, "text", "jo@evil.example"],
                ["email"], "junk", 7]],
            "entities": [{"roles": ["abuse"], "vcardArray": ["vcard", [["email", {}, "uri", "mailto:a@b.example"]]]}],
        }]});
        let all = contacts(&object);
        assert_eq!(all.len(), 2);
        assert!(all[0].has_role("registrant") && all[0].is_org && all[1].has_role("abuse"));
        let names: Vec<String> = all[0].identities().0.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["Evil Ltd", "Jo Doe"]);
        assert_eq!(all[1].mailboxes().0[0].to_string(), "a@b.example");
    }

    #[test]
    fn privacy_services_are_nobody() {
        for text in
            ["REDACTED FOR PRIVACY", "Domains By Proxy, LLC", "Withheld for Privacy ehf", "WhoisGuard, Inc."]
        {
            let contact = Contact { name: text.into(), ..Contact::default() };
            assert_eq!(contact.identities(), (vec![], true), "{text}");
        }
        // "Private Limited" is a company form.
        let company = Contact { org: "Evil Private Limited".into(), ..Contact::default() };
        assert_eq!(company.identities().0.len(), 1);
        let contact = Contact {
            emails: vec!["x@whoisprivacy.example".into(), "not an address".into()],
            ..Contact::default()
        };
        assert_eq!(contact.mailboxes(), (vec![], true));
    }

    #[test]
    fn nesting_and_number_are_bounded() {
        let mut object = json!({});
        for _ in 0..100 {
            object = json!({"entities": [object]});
        }
        assert_eq!(contacts(&object).len(), usize::from(MAX_DEPTH));
        let many = json!({"entities": vec![json!({}); 10_000]});
        assert_eq!(contacts(&many).len(), MAX_CONTACTS);
    }
}
