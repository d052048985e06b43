//! A source that the settings name and that cannot be asked, with the reason.

use kudzu_shared::marking::Tlp;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::{Class, Contact, SourceInfo};
use kudzu_worker::sources::{Asked, Found, LocalSource, Source, Work};

/// Stands in the place of a source and answers nothing.
pub struct Off(SourceInfo);

impl Off {
    /// In the place of this source.
    pub fn new(info: SourceInfo, why: &str) -> Self {
        Self(SourceInfo { unavailable: Some(why.to_owned()), ..info })
    }

    /// In the place of a pair set that cannot be read.
    pub fn pairs(name: &str, why: &str) -> Self {
        let info = SourceInfo {
            name: format!("pairs.{name}"),
            doc: "pairs of a local file".into(),
            class: Class::Local,
            takes: Vec::new(),
            returns: Vec::new(),
            contact: Contact::Nobody,
            max_tlp: Tlp::Red,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: None,
            unavailable: None,
            credits: None,
            licensed: false,
            rate: None,
            digest: 0,
        };
        Self::new(info, why)
    }
}

impl Source for Off {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn work(&self) -> Work<'_> {
        Work::Local(self)
    }
}

impl LocalSource for Off {
    fn answer(&self, _: &Asked<'_>, _: &mut Found) -> Verdict {
        Verdict::Unconfigured
    }
}
