//! What a generated world promises.

use std::collections::HashSet;
use std::net::IpAddr;

use super::*;
use crate::model::{RData, Rcode, rtype};
use crate::name::Name;
use crate::truth::Tie;
use crate::world::World;

fn world(seed: u64) -> World {
    World::generate(&WorldSpec { seed, scale: 0.1, campaign: true })
}

fn ask(world: &World, name: &str, qtype: u16) -> (Rcode, Vec<Record>) {
    let mut out = Vec::new();
    let verdict = world.dns(Name::from_text(name).unwrap().as_wire(), qtype, &mut out);
    (verdict.rcode, out)
}

fn hosts(records: &[Record]) -> Vec<String> {
    let host = |r: &Record| match &r.rdata {
        RData::Host(host) | RData::Mx(_, host) => Some(host.to_string()),
        _ => None,
    };
    records.iter().filter_map(host).collect()
}

fn addrs(records: &[Record]) -> Vec<IpAddr> {
    let addr = |r: &Record| match r.rdata {
        RData::A(addr) => Some(addr.into()),
        RData::Aaaa(addr) => Some(addr.into()),
        _ => None,
    };
    records.iter().filter_map(addr).collect()
}

/// Some names of the neighbourhood.
fn sample(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    for row in world.pdns(&world.seeds()[0], 1000).rows {
        for row in world.pdns(&row.rrname, 10).rows.iter().filter(|r| r.rrtype == "A") {
            names.extend(world.pdns(&row.rdata, 40).rows.into_iter().map(|r| r.rrname));
        }
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 50, "{}", names.len());
    names
}

#[test]
fn the_same_spec_gives_the_same_world() {
    let (one, same, other) = (world(7), world(7), world(8));
    assert_eq!(one.truth(), same.truth());
    assert_ne!(one.truth().seeds, other.truth().seeds);
    for name in sample(&one).iter().take(200) {
        for qtype in [rtype::A, rtype::AAAA, rtype::NS, rtype::MX, rtype::TXT, rtype::SOA] {
            assert_eq!(ask(&one, name, qtype), ask(&same, name, qtype));
        }
        assert_eq!(one.pdns(name, 100), same.pdns(name, 100));
        assert_eq!(one.registration(name), same.registration(name));
        assert_eq!(one.certs(name), same.certs(name));
    }
}

#[test]
fn forward_and_backward_agree() {
    let world = world(3);
    // Nobody has seen all that these corners claim.
    let corners = ["many-addresses.net", "one-broken-record.com", "lying-length.com"];
    for name in sample(&world).iter().filter(|n| !corners.contains(&n.as_str())).take(400) {
        if name.split('.').count() > 3 || world.registration(name).is_none() {
            continue;
        }
        for qtype in [rtype::A, rtype::AAAA] {
            for addr in addrs(&ask(&world, name, qtype).1).into_iter().take(3) {
                let rows = world.pdns(&addr.to_string(), 2000).rows;
                assert!(rows.iter().any(|r| r.rrname == *name), "{name} is not seen on {addr}");
            }
        }
        for row in world.pdns(name, 100).rows.iter().filter(|r| r.rrtype == "A") {
            let back = world.pdns(&row.rdata, usize::MAX).rows;
            assert!(back.contains(row), "{row:?}");
        }
    }
}

#[test]
fn customers_of_a_name_server_are_its_customers() {
    let world = world(4);
    let mut checked = 0;
    for name in sample(&world).iter().take(60) {
        for host in hosts(&ask(&world, name, rtype::NS).1).into_iter().take(1) {
            let answer = world.pdns(&format!("rdata/{host}"), 30);
            assert!(answer.total >= answer.rows.len() as u64);
            for row in answer.rows.iter().filter(|r| r.rrtype == "NS") {
                let (rcode, records) = ask(&world, &row.rrname, rtype::NS);
                // The dead, and zones that answer nobody, can only be seen from outside.
                assert!(rcode != Rcode::NoError || hosts(&records).contains(&host), "{row:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100);
}

#[test]
fn times_of_all_sources_fit() {
    let world = world(5);
    for name in &sample(&world) {
        let Some(registration) = world.registration(name) else { continue };
        assert!(registration.registered < world.as_of() && registration.registered < registration.expires);
        // A domain that was let go and registered again has an earlier life.
        let again = world.truth().decoys.iter().any(|d| d.domain == *name);
        for row in world.pdns(name, 100).rows {
            assert!(row.time_first <= row.time_last && row.time_last <= world.as_of(), "{row:?}");
            assert!(again || row.time_first >= registration.registered, "{row:?} {registration:?}");
        }
        for cert in world.certs(name) {
            assert!(cert.not_before <= world.as_of() && cert.not_before < cert.not_after);
            assert!(again || cert.not_before >= registration.registered, "{cert:?}");
            assert_eq!(world.certs(&cert.sha256), vec![cert]);
        }
    }
}

#[test]
fn hubs_state_their_size_and_stream_in_order() {
    let world = Generated::new(&WorldSpec { seed: 2, scale: 0.1, campaign: false });
    let largest = world.cast.hubs.iter().max_by_key(|h| h.count).unwrap().addr.to_string();
    let world = World::generate(&WorldSpec { seed: 2, scale: 0.1, campaign: false });
    let answer = world.pdns(&largest, 500);
    assert!(answer.total >= 1_000_000);
    assert!(answer.rows.windows(2).all(|w| w[0].time_last >= w[1].time_last));
    for row in
        answer.rows.iter().take(50).filter(|r| !r.rrname.starts_with('d') || !r.rrname.contains("-cdn"))
    {
        assert_eq!(addrs(&ask(&world, &row.rrname, rtype::A).1), vec![largest.parse::<IpAddr>().unwrap()]);
        assert!(world.registration(&row.rrname).is_some());
    }
}

#[test]
fn reverse_names_and_origins_are_served() {
    let world = world(1);
    let mut named = 0;
    for name in sample(&world).iter().take(100) {
        for addr in addrs(&ask(&world, name, rtype::A).1).iter().take(1) {
            let IpAddr::V4(v4) = addr else { continue };
            let [a, b, c, d] = v4.octets();
            let (rcode, origin) = ask(&world, &format!("{d}.{c}.{b}.{a}.origin.asn.cymru.com"), rtype::TXT);
            assert_eq!((rcode, origin.len()), (Rcode::NoError, 1));
            let network = world.network(*addr).unwrap();
            assert!(network.contains(*addr));
            assert!(world.autnum(network.asn).is_some());
            assert!(world.entity(&network.holder.handle).is_some());
            let asked = ask(&world, &format!("as{}.asn.cymru.com", network.asn), rtype::TXT);
            assert_eq!(asked.1.len(), 1);
            for host in hosts(&ask(&world, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), rtype::PTR).1) {
                named += 1;
                if host.starts_with("host-") {
                    assert_eq!(addrs(&ask(&world, &host, rtype::A).1), vec![*addr], "{host}");
                }
            }
        }
    }
    assert!(named > 20);
}

#[test]
fn every_reachable_planned_domain_is_tied_in_the_sources() {
    for seed in 1..=5 {
        let world = world(seed);
        let truth = world.truth();
        assert!((40..=120).contains(&truth.planned.len()));
        assert!(truth.decoys.len() * 2 > truth.planned.len(), "{} decoys", truth.decoys.len());
        let planned: HashSet<&str> = truth.planned.iter().map(|p| p.domain.as_str()).collect();
        assert!(truth.decoys.iter().all(|d| !planned.contains(d.domain.as_str())));
        for p in truth.planned.iter().filter(|p| p.reachable) {
            assert!(!p.ties.is_empty());
            for tie in &p.ties {
                assert!(shown(&world, &p.domain, *tie, &planned), "seed {seed}: {} by {tie:?}", p.domain);
            }
            assert_eq!(p.resolves, !ask(&world, &p.domain, rtype::A).1.is_empty());
        }
    }
}

/// Whether a source shows another planned domain that shares this.
fn shown(world: &World, domain: &str, tie: Tie, planned: &HashSet<&str>) -> bool {
    let other = |name: &str| name != domain && planned.contains(name);
    let shares = |query: &str| world.pdns(query, usize::MAX).rows.iter().any(|r| other(&r.rrname));
    let rows = world.pdns(domain, 100).rows;
    let host = |kind: &str| -> Vec<String> {
        let rows = rows.iter().filter(|r| r.rrtype == kind);
        rows.map(|r| format!("rdata/{}", r.rdata.rsplit(' ').next().unwrap())).collect()
    };
    match tie {
        Tie::Address => rows.iter().filter(|r| r.rrtype == "A").any(|r| shares(&r.rdata)),
        Tie::NameServerPair => host("NS").iter().all(|h| shares(h)),
        Tie::MailHost => host("MX").iter().any(|h| shares(h)),
        Tie::Certificate => world.certs(domain).iter().any(|c| c.names.iter().any(|n| other(n))),
        Tie::Registrant => {
            let owner = world.registration(domain).unwrap().registrant;
            !owner.redacted && world.registered_by(&owner.email).iter().any(|d| other(d))
        }
        Tie::RegistrationBurst => {
            let own = world.registration(domain).unwrap();
            planned
                .iter()
                .filter(|p| other(p))
                .filter_map(|p| world.registration(p))
                .any(|r| r.registrar == own.registrar && (r.registered - own.registered).abs() <= 1800)
        }
    }
}

#[test]
fn no_campaign_plans_nothing() {
    let world = World::generate(&WorldSpec { seed: 1, scale: 0.1, campaign: false });
    let truth = world.truth();
    assert!(truth.planned.is_empty() && truth.decoys.is_empty());
    assert!(world.pdns(&truth.seeds[0], 10).total > 10);
}

#[test]
fn corners_are_served() {
    let world = world(1);
    let count = |name: &str, qtype| ask(&world, name, qtype).1.len();
    assert_eq!(count("a.cname-loop.com", rtype::A), 2);
    assert_eq!(count("www.cname-self.com", rtype::A), 1);
    assert_eq!(count("www.cname-maze.com", rtype::A), 31 - 1);
    assert_eq!(ask(&world, "refused-here.com", rtype::A).0, Rcode::Refused);
    assert_eq!(ask(&world, "www.servfail-here.com", rtype::MX).0, Rcode::ServFail);
    assert_eq!(count("many-addresses.net", rtype::A), 4000);
    let RData::Txt(parts) = &ask(&world, "large-text.net", rtype::TXT).1[0].rdata else { panic!() };
    assert_eq!(parts.concat().len(), 65_000);
    assert_eq!(count("nasty-text.org", rtype::TXT), 9);
    assert_eq!(hosts(&ask(&world, "null-mx.org", rtype::MX).1), vec!["."]);
    assert_eq!(
        hosts(&ask(&world, "x9.deeper-and-deeper.net", rtype::MX).1),
        vec!["x10.deeper-and-deeper.net"]
    );
    assert_eq!(hosts(&ask(&world, "self-reference.org", rtype::NS).1).last().unwrap(), "self-reference.org");
    let longest = ask(&world, "at-the-limit.org", rtype::MX).1;
    let RData::Mx(_, name) = &longest.last().unwrap().rdata else { panic!() };
    assert_eq!(name.as_wire().len(), 255);
    assert_eq!(count("one-broken-record.com", rtype::A), 3);
    for domain in ["cname-maze.com", "nasty-text.org", "ptr-loop.net", "deeper-and-deeper.net"] {
        let place = &world.pdns(domain, 10).rows.into_iter().find(|r| r.rrtype == "A").unwrap().rdata;
        assert!(world.pdns(place, 500).rows.iter().any(|r| r.rrname != domain), "{domain} is not in the way");
    }
}

#[test]
fn numbers_in_names_may_be_of_any_size() {
    let spec = WorldSpec { seed: 1, scale: 0.1, campaign: true };
    let (made, world) = (Generated::new(&spec), World::generate(&spec));
    let zones =
        made.cast.cdns.iter().chain(&made.cast.dyndns).chain(made.cast.orgs.iter().map(|o| &o.domain));
    let mut zones: Vec<String> = zones.cloned().collect();
    zones.push("deeper-and-deeper.net".to_owned());
    let numbers = [0, 6_000, 70_000, 1 << 24, 1 << 40, u64::MAX - 1, u64::MAX];
    for zone in zones.iter().take(20).chain(zones.last()) {
        for (prefix, number) in ["d", "x", "user", "host-"].iter().flat_map(|p| numbers.map(|n| (p, n))) {
            for name in [format!("{prefix}{number}.{zone}"), format!("{prefix}{number}0.{zone}")] {
                for qtype in [rtype::A, rtype::MX] {
                    let _ = ask(&world, &name, qtype);
                }
                let _ = (world.pdns(&name, 5), world.pdns(&format!("rdata/{name}"), 5));
            }
        }
    }
    assert!(world.entity(&format!("R{}-SIM", u64::MAX)).is_none());
    assert!(world.entity(&format!("PRIV{}-SIM", u64::MAX)).is_none());
    assert!(world.certs(&"f".repeat(64)).is_empty());
}

#[test]
fn every_written_domain_has_a_handle_of_its_own() {
    let world = Generated::new(&WorldSpec { seed: 1, scale: 0.1, campaign: true });
    let written = world.tables.registrations.values();
    let handles: HashSet<&str> = written.clone().map(|r| r.handle.as_str()).collect();
    assert_eq!(handles.len(), written.len());
}

#[test]
fn what_does_not_exist_is_denied_with_an_soa() {
    let world = world(1);
    for name in ["no-such-domain-at-all.com", "nothing.invalid", "1.1.1.1.in-addr.arpa", "x.y.z.example"] {
        let mut out = Vec::new();
        let verdict = world.dns(Name::from_text(name).unwrap().as_wire(), rtype::A, &mut out);
        assert_eq!((verdict.rcode, out.len()), (Rcode::NxDomain, 0), "{name}");
        assert_eq!(verdict.authority.unwrap().rtype, rtype::SOA);
    }
}
