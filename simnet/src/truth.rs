//! Ground truth: what a world hides, so that answers can be judged.

use serde::{Deserialize, Serialize};

/// Everything that a judge has to know of a world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// Seed of the generated world; 0 for a loaded one.
    #[serde(default)]
    pub seed: u64,
    /// Scale of the generated world; 0 for a loaded one.
    #[serde(default)]
    pub scale: f64,
    /// The present of the world, RFC 3339.
    #[serde(default)]
    pub as_of: String,
    /// Where an investigation starts.
    #[serde(default)]
    pub seeds: Vec<String>,
    /// The domains of the campaign.
    #[serde(default)]
    pub planned: Vec<Planned>,
    /// Domains that overlap with the campaign without being part of it.
    #[serde(default)]
    pub decoys: Vec<Decoy>,
}

/// A domain of the campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The domain.
    pub domain: String,
    /// What it shares with the rest of the campaign.
    #[serde(default)]
    pub ties: Vec<Tie>,
    /// Whether ties that the sources show lead from a seed to it.
    pub reachable: bool,
    /// Whether it has an address now.
    pub resolves: bool,
}

/// What two domains of a campaign share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// The same address, at the same time or one after the other.
    Address,
    /// The same rare pair of name servers.
    NameServerPair,
    /// The same registrant.
    Registrant,
    /// The same registrar within minutes.
    RegistrationBurst,
    /// The same certificate.
    Certificate,
    /// The same rare mail host.
    MailHost,
}

/// A domain that overlaps with the campaign without being part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoy {
    /// The domain.
    pub domain: String,
    /// How it overlaps.
    pub kind: DecoyKind,
}

/// How a decoy overlaps with the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoyKind {
    /// The same address at the same time, by chance.
    ChanceAddress,
    /// The same address at another time, by chance.
    OtherTime,
    /// The same registrar within the hour, nothing else.
    ChanceBurst,
    /// The same popular name servers.
    PopularNs,
    /// The same privacy service.
    PrivacyRegistrant,
    /// The same certificate of a hosting company.
    SharedCertificate,
    /// The same mail provider.
    SharedMail,
    /// A domain that the campaign let go and somebody else registered.
    ExpiredRegistrant,
}
