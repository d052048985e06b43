//! A source for tests, `test.poison`: its lookups end or hold up the process that does them. Only
//! the feature `poison` compiles it in; what users get does not have it, and does not list it.

use std::io::Write as _;
use std::time::Duration;

use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;

use super::{Asked, Found, LocalSource, Source, Work};

/// How long a slow lookup takes.
const SLOW: Duration = Duration::from_millis(20);

/// Does what the first label of a name says.
#[derive(Debug)]
pub struct Poison {
    info: SourceInfo,
}

impl Poison {
    /// It needs no settings.
    pub fn new() -> Self {
        let doc = "for tests: `poison.` aborts the process, `hang.` never answers".into();
        let (takes, returns) = (vec![Kind::DomainName], vec![Relation::RelatedTo]);
        Self { info: SourceInfo::local("test.poison".into(), doc, takes, returns) }
    }
}

impl Default for Poison {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Poison {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Local(self)
    }
}

impl LocalSource for Poison {
    fn answer(&self, asked: &Asked<'_>, _: &mut Found) -> Verdict {
        let name = asked.key.to_string();
        match name.split('.').next() {
            Some("poison") => std::process::abort(),
            Some("hang") => loop {
                std::thread::park();
            },
            Some("slow") => std::thread::sleep(SLOW),
            Some("noise") => {
                let mut out = std::io::stdout().lock();
                // As a library would that prints: nobody looks whether it can.
                let _ = out.write_all(b"as I was saying\n").and_then(|()| out.flush());
            }
            _ => {}
        }
        Verdict::NoData
    }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::observable::Observable;
    use kudzu_shared::wire::Ask;

    use super::*;

    #[test]
    fn other_names_have_no_answer() {
        let key = Observable::parse("a.poison.example").unwrap();
        let ask = Ask { source: "test.poison".into(), types: vec![], limit: 10 };
        let verdict =
            Poison::new().answer(&Asked { key: &key, ask: &ask, questions: 1 }, &mut Found::default());
        assert_eq!(verdict, Verdict::NoData);
    }
}
