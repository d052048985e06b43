//! Certificates, computed; a fingerprint can be read back to the certificate.

use super::lexicon::registrable;
use super::zones::Domain;
use super::{Generated, Tag};
use crate::model::Certificate;
use crate::name::Name;
use crate::rng::{Feistel, mix};
use crate::time::DAY;

/// Most certificates that are shown of one domain.
const SHOWN: u64 = 3;
/// Of 1000 groups of names, how many share a certificate.
const SHARED_PER_MILLE: u64 = 30;

/// What a computed certificate is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The n-th before the current one of a domain.
    Own { domain: u64, nth: u64 },
    /// That of a group of strangers at a hosting company.
    Shared { block: u64 },
}

impl Generated {
    pub(super) fn certificates(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        let mut found = self.tables.certs_by_name(name, subdomains);
        let Some(parsed) = Name::from_text(name) else { return found };
        let wire = parsed.as_wire();
        let Some(cut) = registrable(wire) else { return found };
        let www = &wire[..cut] == b"\x03www";
        if cut != 0 && !www {
            return found;
        }
        let Some(Domain::Ordinary(i)) = self.domain(&wire[cut..]) else { return found };
        let own = (0..SHOWN).filter_map(|nth| self.own_cert(i, nth));
        let sees = |c: &Certificate| {
            let suffix = format!(".{name}");
            c.names.iter().any(|n| if subdomains { n.ends_with(&suffix) } else { n == name })
        };
        found.extend(own.chain(self.shared_cert_of(i)).filter(sees));
        found
    }

    pub(super) fn certificate(&self, sha256: &str) -> Option<Certificate> {
        if let Some(written) = self.tables.cert(sha256) {
            return Some(written);
        }
        let id = self
            .cert_ids()
            .inverse(u64::from_str_radix(sha256.get(..16)?, 16).ok().filter(|v| *v < 1 << 62)?);
        let found = match (id >> 60, id & 0xff_ffff_ffff) {
            (0, domain) if domain < self.ordinary => self.own_cert(domain, (id >> 40) & 0xf),
            (1, block) => self.shared_cert(block),
            _ => None,
        };
        found.filter(|c| c.sha256 == sha256)
    }

    fn own_cert(&self, domain: u64, nth: u64) -> Option<Certificate> {
        let draw = self.roll(Tag::Certified, domain);
        if draw % 100 >= 80 || nth >= SHOWN {
            return None;
        }
        let days = if draw % 10 < 8 { 90 } else { 365 };
        let life = self.life(domain);
        let until = life.end.unwrap_or(self.now);
        let phase = (self.roll(Tag::CertPhase, domain) % (days * DAY as u64)) as i64;
        let not_before = until - phase - nth as i64 * days as i64 * DAY;
        if not_before < life.created + DAY / 24 {
            return None;
        }
        let apex = self.lexicon.name(domain).to_string();
        let names = vec![apex.clone(), format!("www.{apex}")];
        Some(self.made(Source::Own { domain, nth }, names, not_before, days as i64))
    }

    fn shared_cert_of(&self, domain: u64) -> Option<Certificate> {
        self.shared_cert(self.shared_certs.seat(domain).block)
    }

    fn shared_cert(&self, block: u64) -> Option<Certificate> {
        if self.roll(Tag::Certified, block ^ 0x5a4e_d000) % 1000 >= SHARED_PER_MILLE {
            return None;
        }
        let not_before =
            self.now - (self.roll(Tag::CertPhase, block ^ 0x5a4e_d000) % (60 * DAY as u64)) as i64;
        // Who registered or died since then cannot stand in it.
        let fits = |i: &u64| {
            let life = self.life(*i);
            life.created < not_before && life.end.is_none()
        };
        let names: Vec<String> =
            self.shared_certs.block(block).filter(fits).map(|i| self.lexicon.name(i).to_string()).collect();
        (names.len() > 1).then(|| self.made(Source::Shared { block }, names, not_before, 365))
    }

    fn made(&self, source: Source, names: Vec<String>, not_before: i64, days: i64) -> Certificate {
        let id = match source {
            Source::Own { domain, nth } => domain | (nth << 40),
            Source::Shared { block } => block | (1 << 60),
        };
        let first = self.cert_ids().forward(id);
        self.cert_from(first, names, not_before, days)
    }

    /// Fingerprint and serial follow from the first 8 octets.
    pub(super) fn cert_from(
        &self,
        first: u64,
        names: Vec<String>,
        not_before: i64,
        days: i64,
    ) -> Certificate {
        let rest = [mix(first ^ self.key), mix(first ^ self.key ^ 1), mix(first ^ self.key ^ 2)];
        let issuer = match days {
            365 => "C=US, O=SimCert Inc, CN=SimCert TLS RSA CA G2",
            _ => "C=US, O=Let's Simulate, CN=R3",
        };
        Certificate {
            id: first >> 28,
            sha256: format!("{first:016x}{:016x}{:016x}{:016x}", rest[0], rest[1], rest[2]),
            issuer: issuer.to_owned(),
            names,
            not_before,
            not_after: not_before + days * DAY,
            serial: format!("{:016x}{:016x}", mix(rest[0]), mix(rest[1])),
        }
    }

    fn cert_ids(&self) -> Feistel {
        Feistel::new(self.key ^ 0xce47, 1 << 62)
    }
}
