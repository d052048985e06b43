//! `kudzu token`

use std::io::Write as _;

use kudzu_shared::config::is_tenant;
use rand::RngCore as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::ListFormat;
use crate::args::cluster::Token;
use crate::console;
use crate::exit::{End, Failure, Outcome};

pub fn run(args: &Token) -> Outcome {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if args.name.is_empty() || !args.name.chars().all(plain) {
        return Err(Failure::usage("the token's name: write letters, digits, - and _"));
    }
    if !is_tenant(&args.tenant) {
        return Err(Failure::usage("--tenant: write a-z, 0-9, - and _, at most 64"));
    }
    if let Some(odd) = args.scopes.iter().find(|s| !["read", "submit"].contains(&s.as_str())) {
        return Err(Failure::usage(format!("--scopes: there is no scope {odd:?}: write read, submit")));
    }
    let mut octets = [0; 32];
    rand::rng().fill_bytes(&mut octets);
    let token = format!("kudzu_{}_{}", args.name, hex(&octets));
    let digest = hex(&Sha256::digest(token.as_bytes()));
    let mut out = console::stdout();
    match args.format {
        ListFormat::Json => {
            let value = json!({
                "name": args.name, "token": token, "tenant": args.tenant,
                "sha256": digest, "scopes": args.scopes,
            });
            writeln!(out, "{value}")?;
        }
        ListFormat::Text => {
            writeln!(out, "# Give this to whoever shall ask, and keep it nowhere else:")?;
            writeln!(out, "# KUDZU_CLIENT__TOKEN={token}")?;
            writeln!(out, "[api.tokens.{}]", args.name)?;
            writeln!(out, "tenant = {:?}\nsha256 = {digest:?}\nscopes = {:?}", args.tenant, args.scopes)?;
        }
    }
    out.flush()?;
    Ok(End::Complete)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02x}")).collect()
}
