//! `kudzu version`

use std::io::Write as _;

use serde_json::json;

use crate::args::{ListFormat, Version};
use crate::console;
use crate::exit::{End, Outcome};

pub fn run(args: &Version) -> Outcome {
    let version = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": env!("KUDZU_COMMIT"),
        "profile": env!("KUDZU_PROFILE"),
        "target": env!("KUDZU_TARGET"),
    });
    let mut out = console::stdout();
    match args.format {
        ListFormat::Text => writeln!(out, "kudzu {}", crate::VERSION)?,
        ListFormat::Json => writeln!(out, "{version:#}")?,
    }
    out.flush()?;
    Ok(End::Complete)
}
