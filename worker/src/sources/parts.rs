//! `parts`: what an observable holds in itself: registrable domain, host. Asks nobody.

use kudzu_shared::observable::{Kind, Observable, psl};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;

use super::{Asked, Found, LocalSource, Source, Work, digest};

/// Takes observables apart.
#[derive(Debug)]
pub struct Parts {
    info: SourceInfo,
}

impl Parts {
    /// With the public suffix list that is compiled in.
    pub fn new() -> Self {
        let doc = "registrable domain of a name, host of a URL or e-mail address".into();
        let takes = vec![Kind::DomainName, Kind::EmailAddr, Kind::Url];
        let returns = vec![Relation::RegistrableDomain, Relation::Host];
        let info = SourceInfo::local("parts".into(), doc, takes, returns);
        let info = SourceInfo { digest: digest([psl::psl_version()]), ..info };
        Self { info }
    }
}

impl Default for Parts {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Parts {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Local(self)
    }
}

impl LocalSource for Parts {
    fn answer(&self, asked: &Asked<'_>, found: &mut Found) -> Verdict {
        let (relation, part) = match asked.key.kind() {
            Kind::DomainName => {
                let domain = asked.key.name().as_ref().and_then(psl::registrable);
                (Relation::RegistrableDomain, domain.map(|n| Observable::from_name(&n)))
            }
            Kind::EmailAddr | Kind::Url => (Relation::Host, asked.key.host()),
            _ => return Verdict::FormErr,
        };
        part.into_iter().for_each(|p| found.pair(asked.key, relation, p));
        if found.pairs.is_empty() { Verdict::NoData } else { Verdict::Found }
    }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::wire::Ask;

    use super::*;

    fn parts(text: &str) -> (Verdict, Vec<String>) {
        let key = Observable::parse(text).unwrap();
        let ask = Ask { source: "parts".into(), types: vec![], limit: 10 };
        let mut found = Found::default();
        let verdict = Parts::new().answer(&Asked { key: &key, ask: &ask, questions: 1 }, &mut found);
        (verdict, found.pairs.iter().map(|p| format!("{} {}", p.relation, p.value)).collect())
    }

    #[test]
    fn each_kind() {
        assert_eq!(
            parts("a.b.example.co.uk"),
            (Verdict::Found, vec!["registrable-domain example.co.uk".into()])
        );
        assert_eq!(parts("example.com"), (Verdict::NoData, vec![]));
        assert_eq!(parts("https://[2001:db8::1]/x"), (Verdict::Found, vec!["host 2001:db8::1".into()]));
        assert_eq!(parts("x@mail.example"), (Verdict::Found, vec!["host mail.example".into()]));
        assert_eq!(parts("192.0.2.1").0, Verdict::FormErr);
    }
}
