//! The simulated internet for the command line: its world, and the settings that point here.

use std::path::Path;

use kudzu_shared::config::Config;
use kudzu_simnet::{Addrs, World, WorldSpec};

use crate::args::simnet::WorldArgs;
use crate::exit::Failure;

/// The world that the flags ask for.
///
/// # Errors
/// When a world file cannot be read.
pub async fn world(args: &WorldArgs) -> Result<World, Failure> {
    let args = args.clone();
    // A large world takes a moment that others need not wait for.
    let made = tokio::task::spawn_blocking(move || match &args.world {
        Some(path) => load(path),
        None => Ok(World::generate(&WorldSpec {
            seed: args.seed,
            scale: args.scale,
            campaign: !args.no_campaign,
        })),
    });
    made.await.map_err(|e| Failure::failed(format!("make the world: {e}")))?
}

fn load(path: &Path) -> Result<World, Failure> {
    World::load(path).map_err(|e| Failure::Usage(e.into()))
}

/// Points every source at the simulated internet; no limit holds there.
pub fn point(config: &mut Config, addrs: &Addrs) {
    config.dns.resolvers.clone_from(&addrs.dns);
    // It is this process itself.
    config.dns.check = false;
    config.dns.own = true;
    config.dns.rate = None;
    config.dns.in_flight = kudzu_shared::config::Dns::OWN_IN_FLIGHT;
    config.rdap.enabled = true;
    config.rdap.bootstrap = format!("http://{}/bootstrap/", addrs.rdap);
    config.rdap.allow_private = true;
    config.rdap.rate = f64::INFINITY;
    config.rdap.in_flight = IN_FLIGHT;
    config.pdns.url = Some(format!("http://{}/pdns/query/", addrs.pdns));
    config.pdns.user = None;
    config.pdns.password = None;
    config.pdns.allow_private = true;
    config.pdns.rate = f64::INFINITY;
    config.pdns.in_flight = IN_FLIGHT;
    config.certs.url = Some(format!("http://{}/", addrs.certs));
    config.certs.allow_private = true;
    config.certs.rate = f64::INFINITY;
    config.certs.in_flight = IN_FLIGHT;
    config.worker.http_lookups = HTTP_LOOKUPS;
}

/// Requests open at a time at each simulated service.
const IN_FLIGHT: u32 = 2048;
/// HTTP lookups open at a time in a worker, so that the latency is not what limits.
const HTTP_LOOKUPS: u32 = 2048;

/// The same as the text of a `kudzu.toml`; `present` is the time of the world, as `--at`
/// takes it.
pub fn config_text(addrs: &Addrs, present: &str) -> String {
    let dns: Vec<String> = addrs.dns.iter().map(|a| format!("\"{a}\"")).collect();
    let (rdap, pdns, certs) = (addrs.rdap, addrs.pdns, addrs.certs);
    format!(
        "# Points every source at a simulated internet (kudzu simnet).\n\
         # It has a present of its own: pivot with --at {present}\n\
         [dns]\nresolvers = [{}]\nown = true\ncheck = false\n\n\
         [rdap]\nbootstrap = \"http://{rdap}/bootstrap/\"\nallow_private = true\nrate = inf\nin_flight = {IN_FLIGHT}\n\n\
         [pdns]\nurl = \"http://{pdns}/pdns/query/\"\nallow_private = true\nrate = inf\nin_flight = {IN_FLIGHT}\n\n\
         [certs]\nurl = \"http://{certs}/\"\nallow_private = true\nrate = inf\nin_flight = {IN_FLIGHT}\n\n\
         [worker]\nhttp_lookups = {HTTP_LOOKUPS}\n",
        dns.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_settings_are_those_in_force() {
        let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let addrs = Addrs { dns: vec![at(1), at(2)], rdap: at(3), pdns: at(4), certs: at(5) };
        let written = Config::parse(Path::new("kudzu.toml"), &config_text(&addrs, "2026-06-01")).unwrap();
        let mut pointed = Config::default();
        point(&mut pointed, &addrs);
        assert_eq!(written, pointed);
    }
}
