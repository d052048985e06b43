//! Data packs: lists of what so many share that it ties nothing together.
//!
//! The built-in lists are a subset of the MISP warninglists (CC0-1.0), embedded as text and
//! read once; see `shared/packs/README.md`. Files in the MISP schema can be added.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use crate::observable::{Kind, ObservableRef, ParseError};

mod cover;
mod host;
mod index;
mod load;

pub use cover::Cover;
use index::{Names, Ranges};

/// Why what is in a list is not followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListClass {
    /// Front ends of a content delivery network.
    Cdn,
    /// Addresses that a cloud gives to anybody.
    Cloud,
    /// Many customers on one address or under one name.
    SharedHosting,
    /// Parked domains and their name servers.
    Parking,
    /// Seized or redirected by defenders.
    Sinkhole,
    /// Resolvers for everybody.
    PublicResolver,
    /// Names given to anybody's changing address.
    DynamicDns,
    /// Mail for many domains, throw-away mailboxes included.
    MailProvider,
    /// Short URLs.
    UrlShortener,
    /// Among the most visited names.
    Popular,
}

impl ListClass {
    /// Every class.
    pub const ALL: [ListClass; 10] = [
        ListClass::Cdn,
        ListClass::Cloud,
        ListClass::SharedHosting,
        ListClass::Parking,
        ListClass::Sinkhole,
        ListClass::PublicResolver,
        ListClass::DynamicDns,
        ListClass::MailProvider,
        ListClass::UrlShortener,
        ListClass::Popular,
    ];

    /// The name in the API, in pack files and in stubs.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListClass::Cdn => "cdn",
            ListClass::Cloud => "cloud",
            ListClass::SharedHosting => "shared-hosting",
            ListClass::Parking => "parking",
            ListClass::Sinkhole => "sinkhole",
            ListClass::PublicResolver => "public-resolver",
            ListClass::DynamicDns => "dynamic-dns",
            ListClass::MailProvider => "mail-provider",
            ListClass::UrlShortener => "url-shortener",
            ListClass::Popular => "popular",
        }
    }
}

impl fmt::Display for ListClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ListClass {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        ListClass::ALL.into_iter().find(|c| c.as_str() == name).ok_or(())
    }
}

/// A hit: which list, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The list's name.
    pub list: &'a str,
    /// Its class.
    pub class: ListClass,
}

/// What identifies one list in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackVersion {
    /// Its name.
    pub name: String,
    /// What it stands for.
    pub class: ListClass,
    /// The publisher's version; the MISP lists mostly use the date as YYYYMMDD.
    pub version: String,
    /// The day it is of, as YYYY-MM-DD; `None` where a file does not tell.
    pub date: Option<String>,
    /// Where it comes from.
    pub source: String,
    /// How many entries it has.
    pub entries: usize,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The file cannot be read.
    #[error("cannot read the list {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is larger than any list.
    #[error("the list {path} has over {max} octets: split it")]
    Size {
        /// The file.
        path: PathBuf,
        /// The limit in octets.
        max: u64,
    },
    /// Not the MISP warninglist schema.
    #[error("the list {path} is not JSON with name, class, type, version and list: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the JSON reader says.
        reason: String,
    },
    /// A class that does not exist.
    #[error("the list {list} has the class `{class}`: write one of {}", all_classes())]
    Class {
        /// The list.
        list: String,
        /// What it says.
        class: String,
    },
    /// A type that is not read.
    #[error("the list {list} has the type `{kind}`: cidr, hostname, string and substring are read")]
    Type {
        /// The list.
        list: String,
        /// What it says.
        kind: String,
    },
    /// An entry that is nothing a list of its type may have.
    #[error("entry {number} of the list {list}")]
    Entry {
        /// The list.
        list: String,
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Two lists of one name would be told apart by nothing in a result.
    #[error("there is a list {0} already: rename this one")]
    Twice(String),
    /// A list file that is named in the settings.
    #[error("cannot load the list {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<PackError>,
    },
    /// A header line of an embedded list.
    #[error("the list {list} has no line `# {key}: …`")]
    Header {
        /// The list, as far as it is known.
        list: String,
        /// What is missing.
        key: &'static str,
    },
}

fn all_classes() -> String {
    ListClass::ALL.map(ListClass::as_str).join(", ")
}

/// The lists in force, indexed.
#[derive(Debug, Clone, Default)]
pub struct Packs {
    lists: Vec<PackVersion>,
    names: Names,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Packs {
    /// No list at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The built-in lists; read on first use, which takes some milliseconds.
    pub fn builtin() -> &'static Packs {
        static BUILTIN: OnceLock<Packs> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let mut packs = Packs::default();
            for text in load::EMBEDDED {
                // A test reads each of them; a broken one must not stop a job.
                if let Err(error) = load::text(&mut packs, text) {
                    tracing::error!(%error, "embedded list left out");
                }
            }
            packs.seal();
            packs
        })
    }

    /// The built-in lists and those of files, in their order.
    ///
    /// # Errors
    /// The first file that cannot be used, by its path.
    pub fn load(files: &[PathBuf]) -> Result<Packs, PackError> {
        files.iter().try_fold(Self::builtin().clone(), |packs, path| {
            packs.with_file(path).map_err(|e| match e {
                // These name it.
                PackError::Read { .. } | PackError::Size { .. } | PackError::Json { .. } => e,
                other => PackError::File { path: path.clone(), source: Box::new(other) },
            })
        })
    }

    /// These lists and one more from a file: JSON in the MISP warninglist schema (`name`,
    /// `type`, `version`, `list`) with a `class`. Where entries are equal, the earlier list
    /// counts; a narrower entry counts before a wider one.
    ///
    /// `substring` is read as `hostname`, which is what such lists mean; `regex` is refused.
    ///
    /// # Errors
    /// [`PackError`] where the file cannot be read or has an entry that makes no sense.
    pub fn with_file(mut self, path: impl AsRef<Path>) -> Result<Packs, PackError> {
        load::file(&mut self, path.as_ref())?;
        self.seal();
        Ok(self)
    }

    /// The list that an observable is in: an address or block by the narrowest block around
    /// it, a name by the nearest listed name at or above it ([`ListClass::Popular`] only where
    /// there is no other), a URL or e-mail address by its host. No allocation.
    pub fn lookup(&self, observable: ObservableRef<'_>) -> Option<Listed<'_>> {
        let list = match observable.kind {
            Kind::DomainName => self.name(observable.wire),
            Kind::Ipv4Addr | Kind::Ipv6Addr => self.address(observable.ip()?),
            Kind::Netblock => self.block(observable.wire),
            Kind::Url | Kind::EmailAddr => match host::of(observable)? {
                host::Host::Ip(ip) => self.address(ip),
                host::Host::Name(wire) => self.name(wire.as_slice()),
            },
            _ => None,
        }?;
        let found = self.lists.get(usize::from(list))?;
        Some(Listed { list: &found.name, class: found.class })
    }

    /// The lists in force, in their order.
    pub fn versions(&self) -> Vec<PackVersion> {
        self.lists.clone()
    }

    /// That a name is popular says less than any other list: a popular name below a
    /// content network's is the network's.
    fn name(&self, wire: &[u8]) -> Option<u16> {
        let popular = |l: u16| self.lists.get(usize::from(l)).is_some_and(|l| l.class == ListClass::Popular);
        self.names.find(wire, popular)
    }

    fn address(&self, ip: IpAddr) -> Option<u16> {
        match ip {
            IpAddr::V4(a) => self.v4.find(a.to_bits(), a.to_bits()),
            IpAddr::V6(a) => self.v6.find(a.to_bits(), a.to_bits()),
        }
    }

    fn block(&self, wire: &[u8]) -> Option<u16> {
        match *wire {
            [a, b, c, d, len] => {
                let first = u32::from_be_bytes([a, b, c, d]);
                self.v4.find(first, first | u32::MAX.checked_shr(len.into()).unwrap_or(0))
            }
            [ref net @ .., len] => {
                let first = u128::from_be_bytes(net.try_into().ok()?);
                self.v6.find(first, first | u128::MAX.checked_shr(len.into()).unwrap_or(0))
            }
            [] => None,
        }
    }

    fn add_block(&mut self, wire: &[u8], list: u16) {
        match *wire {
            [a, b, c, d, len] => {
                let first = u32::from_be_bytes([a, b, c, d]);
                self.v4.add(first, first | u32::MAX.checked_shr(len.into()).unwrap_or(0), list);
            }
            [ref net @ .., len] => {
                if let Ok(octets) = net.try_into() {
                    let first = u128::from_be_bytes(octets);
                    self.v6.add(first, first | u128::MAX.checked_shr(len.into()).unwrap_or(0), list);
                }
            }
            [] => {}
        }
    }

    fn seal(&mut self) {
        self.v4.seal();
        self.v6.seal();
    }
}
