//! `kudzu sources`

use std::io::Write as _;

use kudzu_shared::escape;
use kudzu_shared::source::SourceInfo;

use crate::args::job::EngineArgs;
use crate::args::{Global, ListFormat, Sources};
use crate::console::{self, Paint, Style};
use crate::exit::{End, Outcome};
use crate::view::announce::{rate, reaches};
use crate::view::json::escaped;
use crate::view::text::{Table, count};
use crate::{embedded, settings};

pub fn run(global: &Global, args: &Sources) -> Outcome {
    let engine = EngineArgs { pairs: args.pairs.clone(), ..EngineArgs::default() };
    let config = settings::load(global, &engine)?;
    let (registry, _) = embedded::registry_with_broken(&config);
    let catalogue = registry.catalogue();
    let mut out = console::stdout();
    match args.format {
        ListFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &escaped(&catalogue)?).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        ListFormat::Text => {
            for line in lines(&catalogue, Style::of_stdout()) {
                writeln!(out, "{line}")?;
            }
        }
    }
    out.flush()?;
    Ok(End::Complete)
}

fn lines(catalogue: &[SourceInfo], style: Style) -> Vec<String> {
    let mut table =
        Table::new(&["source", "reaches", "TLP to", "PAP to", ">at most", "credits", "state, endpoint"]);
    for s in catalogue {
        let state = match (&s.unavailable, &s.endpoint) {
            (Some(why), _) => format!("off: {}", escape::terminal(why)),
            (None, Some(endpoint)) => format!("on, {}", escape::terminal(endpoint)),
            (None, None) => "on".into(),
        };
        table.row(vec![
            s.name.clone(),
            reaches(s.contact).into(),
            s.max_tlp.as_str().trim_start_matches("TLP:").into(),
            s.contact.strictest_pap().as_str().trim_start_matches("PAP:").into(),
            s.rate.filter(|r| r.is_finite()).map_or("no limit".into(), |r| format!("{}/s", rate(r))),
            s.credits.map_or("-".into(), count),
            state,
        ]);
    }
    let mut lines = table.lines(style.width);
    if let Some(head) = lines.first_mut() {
        *head = style.paint(Paint::Head, head);
    }
    for s in catalogue {
        let takes: Vec<_> = s.takes.iter().map(|k| k.as_str()).collect();
        let returns: Vec<_> = s.returns.iter().map(|r| r.as_str()).collect();
        lines.push(String::new());
        lines.push(format!("{}: {}", style.paint(Paint::Head, &s.name), escape::terminal(&s.doc)));
        lines.push(format!("  takes    {}", takes.join(", ")));
        lines.push(format!("  returns  {}", returns.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use kudzu_shared::config::Config;

    use super::*;

    #[test]
    fn a_source_that_is_off_says_why() {
        let catalogue = embedded::registry(&Config::default()).unwrap().catalogue();
        let lines = lines(&catalogue, Style { colour: false, width: 200 });
        let pdns = lines.iter().find(|l| l.starts_with("pdns.addr")).unwrap();
        assert!(pdns.contains("off: "), "{pdns}");
        for source in &catalogue {
            assert!(lines.iter().any(|l| l.starts_with(&format!("{}: ", source.name))), "{}", source.name);
        }
    }
}
