//! A source that the settings name and that cannot be asked, with the reason.

use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::SourceInfo;
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
        let doc = "pairs of a local file".into();
        let info = SourceInfo::local(format!("pairs.{name}"), doc, Vec::new(), Vec::new());
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
