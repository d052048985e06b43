//! `kudzu simnet`

use std::io::Write as _;

use anyhow::Context as _;
use kudzu_simnet::{ListenConfig, Server};
use serde_json::json;

use crate::args::Global;
use crate::args::simnet::{Simnet, SimnetAction, WorldArgs};
use crate::exit::{End, Outcome};
use crate::{console, interrupt, simulated};

pub async fn run(global: &Global, args: &Simnet) -> Outcome {
    match &args.action {
        Some(SimnetAction::Truth { world }) => truth(world).await,
        None => serve(global, args).await,
    }
}

async fn truth(args: &WorldArgs) -> Outcome {
    let truth = simulated::world(args).await?.truth();
    let text = serde_json::to_string_pretty(&truth).context("write the truth as JSON")?;
    say(&format!("{text}\n"))?;
    Ok(End::Complete)
}

async fn serve(global: &Global, args: &Simnet) -> Outcome {
    interrupt::take_over();
    let world = simulated::world(&args.world).await?;
    let (seeds, as_of) = (world.seeds(), kudzu_shared::time::rfc3339(world.as_of()));
    let listen = &args.listen;
    let config = ListenConfig {
        host: listen.bind,
        resolvers: listen.resolvers.into(),
        dns_port: listen.dns_port,
        rdap_port: listen.rdap_port,
        pdns_port: listen.pdns_port,
        certs_port: listen.certs_port,
    };
    let faults = args.faults.with(&args.timing, args.world.seed);
    let server = Server::start(world, faults, config).await.context("start the simulated internet")?;
    let addrs = server.addrs().clone();
    if let Some(path) = &args.config_out {
        let present = as_of.trim_end_matches("T00:00:00Z");
        let shown = path.display();
        std::fs::write(path, simulated::config_text(&addrs, present))
            .with_context(|| format!("--config-out: write {shown}"))?;
        if !global.quiet {
            console::tell(&format!("ask it with: kudzu pivot --config {shown} --at {present} INDICATOR"));
        }
    }
    let ready = json!({
        "dns": addrs.dns,
        "rdap": addrs.rdap,
        "pdns": addrs.pdns,
        "certs": addrs.certs,
        "seeds": seeds,
        "as_of": as_of,
    });
    say(&format!("{ready}\n"))?;
    interrupt::requested().await;
    let stats = server.stats();
    server.stop().await;
    if args.stats {
        let text = serde_json::to_string(&stats).context("write the counts as JSON")?;
        say(&format!("{text}\n"))?;
    }
    Ok(End::Complete)
}

/// Writes without a lock that would be held over an await.
fn say(text: &str) -> std::io::Result<()> {
    let mut out = console::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
