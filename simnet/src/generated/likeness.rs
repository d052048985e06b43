//! No single number tells the campaign from the rest: sizes, gaps, ages and places overlap.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;

use crate::model::{PdnsRow, rtype};
use crate::name::Name;
use crate::time::DAY;
use crate::truth::{DecoyKind, Truth};
use crate::world::{World, WorldSpec};

/// What was measured over several worlds, of the campaign and of others.
#[derive(Default)]
struct Sizes {
    machine: Vec<usize>,
    cover: Vec<usize>,
    own_cert: Vec<usize>,
    decoy_cert: Vec<usize>,
    own_gap: Vec<i64>,
    other_gap: Vec<i64>,
    own_age: Vec<i64>,
}

fn world(seed: u64) -> World {
    World::generate(&WorldSpec { seed, scale: 0.1, campaign: true })
}

fn planned(truth: &Truth) -> HashSet<String> {
    truth.planned.iter().map(|p| p.domain.clone()).collect()
}

fn on(world: &World, place: &str) -> Vec<PdnsRow> {
    world.pdns(place, usize::MAX).rows.into_iter().filter(|r| r.rrtype == "A").collect()
}

/// The addresses of the campaign: with other campaign domains, or without.
fn places(world: &World, planned: &HashSet<String>) -> HashMap<String, Vec<PdnsRow>> {
    let mut found = HashMap::new();
    for domain in planned {
        for row in world.pdns(domain, 100).rows.iter().filter(|r| r.rrtype == "A") {
            found.entry(row.rdata.clone()).or_insert_with(|| on(world, &row.rdata));
        }
    }
    found
}

fn gap(a: &PdnsRow, b: &PdnsRow) -> i64 {
    (a.time_first.max(b.time_first) - a.time_last.min(b.time_last)) / DAY
}

fn measure(world: &World, sizes: &mut Sizes) {
    let truth = world.truth();
    let planned = planned(&truth);
    for rows in places(world, &planned).values() {
        let own: Vec<&PdnsRow> = rows.iter().filter(|r| planned.contains(&r.rrname)).collect();
        if own.len() < 2 {
            sizes.cover.push(rows.len());
            continue;
        }
        sizes.machine.push(rows.len());
        let nearest = |row: &&PdnsRow| own.iter().filter(|o| o != &row).map(|o| gap(row, o)).min();
        for row in rows {
            let gap = nearest(&row).filter(|g| *g > 0);
            let of = if planned.contains(&row.rrname) { &mut sizes.own_gap } else { &mut sizes.other_gap };
            of.extend(gap);
        }
    }
    for domain in &planned {
        for cert in world.certs(domain) {
            match cert.names.iter().filter(|n| planned.contains(*n)).count() {
                own if own == cert.names.len() && own > 1 => sizes.own_cert.push(own),
                1 if cert.names.len() > 2 => sizes.decoy_cert.push(cert.names.len()),
                _ => {}
            }
        }
        let registered = world.registration(domain).map(|r| r.registered);
        sizes.own_age.extend(registered.map(|r| (world.as_of() - r) / DAY));
    }
}

fn measured() -> Sizes {
    let mut sizes = Sizes::default();
    (1..=12).for_each(|seed| measure(&world(seed), &mut sizes));
    sizes
}

#[test]
fn sizes_gaps_and_ages_overlap() {
    let s = measured();
    let within = |of: &[usize], low, high| of.iter().filter(|n| (low..=high).contains(*n)).count();
    // Crowds: machines of the campaign with many names, hosts of strangers with few.
    assert!(within(&s.machine, 16, 60) >= 8, "{:?}", s.machine);
    assert!(within(&s.cover, 6, 15) >= 8 && within(&s.cover, 16, 60) >= 8, "{:?}", s.cover);
    assert!(within(&s.cover, 100, 400) >= 3, "{:?}", s.cover);
    assert!(within(&s.own_cert, 9, 30) >= 4, "{:?}", s.own_cert);
    assert!(within(&s.decoy_cert, 5, 25) >= 5 && within(&s.decoy_cert, 40, 80) >= 3, "{:?}", s.decoy_cert);
    let days = |of: &[i64], low, high| of.iter().filter(|n| (low..=high).contains(*n)).count();
    assert!(days(&s.own_gap, 60, 150) >= 3, "{:?}", s.own_gap);
    for (low, high) in [(20, 60), (60, 150), (150, 400), (400, 1000), (1000, 1900)] {
        assert!(days(&s.other_gap, low, high) >= 2, "{low}..{high}: {:?}", s.other_gap);
    }
    assert!(days(&s.own_age, 730, 4000) >= 20, "{:?}", s.own_age);
}

#[test]
fn who_is_beside_the_campaign_where_few_are_is_listed() {
    for seed in 1..=6 {
        let world = world(seed);
        let truth = world.truth();
        let planned = planned(&truth);
        let listed: HashSet<&str> = truth.decoys.iter().map(|d| d.domain.as_str()).collect();
        let mut strangers = BTreeSet::new();
        for rows in places(&world, &planned).into_values() {
            if rows.iter().filter(|r| planned.contains(&r.rrname)).count() < 2 || rows.len() > 120 {
                continue;
            }
            for row in rows {
                let registered = world.registration(&row.rrname).is_some_and(|r| r.domain == row.rrname);
                if registered && !planned.contains(&row.rrname) {
                    strangers.insert(row.rrname);
                }
            }
        }
        let missing: Vec<_> = strangers.iter().filter(|d| !listed.contains(d.as_str())).collect();
        // The hosts of providers and the corners stand on ordinary hosts, too.
        assert!(missing.len() * 20 <= strangers.len(), "seed {seed}: {missing:?} of {}", strangers.len());
        let kinds: HashSet<DecoyKind> = truth.decoys.iter().map(|d| d.kind).collect();
        assert!(kinds.contains(&DecoyKind::OtherTime) && kinds.contains(&DecoyKind::ChanceAddress));
    }
}

/// Walks from the seed over what the sources show of campaign domains and of the addresses, servers, mail
/// hosts and certificates that they have.
fn walked(world: &World, truth: &Truth) -> HashSet<String> {
    let planned = planned(truth);
    let mut found: HashSet<String> = HashSet::new();
    let mut queue: VecDeque<String> = truth.seeds.iter().cloned().collect();
    let mut asked: HashSet<String> = queue.iter().cloned().collect();
    while let Some(query) = queue.pop_front() {
        let answer = world.pdns(&query, 500);
        if answer.total > 500 {
            continue;
        }
        let mut names: Vec<String> = answer.rows.into_iter().map(|r| r.rrname).collect();
        names.extend(world.certs(&query).into_iter().flat_map(|c| c.names));
        for domain in names {
            if !planned.contains(&domain) || !found.insert(domain.clone()) {
                continue;
            }
            let mut next: Vec<String> = world.certs(&domain).into_iter().map(|c| c.sha256).collect();
            for row in world.pdns(&domain, 500).rows {
                let host = row.rdata.rsplit(' ').next().unwrap_or_default();
                let host =
                    host.parse::<Ipv4Addr>().map_or_else(|_| format!("rdata/{host}"), |a| a.to_string());
                next.push(host);
            }
            queue.extend(next.into_iter().filter(|n| asked.insert(n.clone())));
        }
    }
    found
}

#[test]
fn the_sources_lead_to_all_that_is_called_reachable() {
    for seed in 1..=8 {
        let world = world(seed);
        let truth = world.truth();
        let found = walked(&world, &truth);
        for p in truth.planned.iter().filter(|p| p.reachable) {
            assert!(found.contains(&p.domain), "seed {seed}: {p:?}");
        }
    }
}

#[test]
fn owners_without_bad_intent_have_many_young_domains_too() {
    for (seed, campaign) in [(1, true), (2, true), (3, false), (4, false)] {
        let world = World::generate(&WorldSpec { seed, scale: 0.1, campaign });
        let planned = planned(&world.truth());
        // Seed, its names, their addresses, the names there.
        let mut reached: BTreeSet<String> = world.seeds().into_iter().collect();
        for step in 0..3 {
            let rows =
                reached.iter().flat_map(|query| world.pdns(query, 300).rows).filter(|r| r.rrtype == "A");
            reached = rows.map(|r| if step % 2 == 0 { r.rrname } else { r.rdata }).collect();
        }
        let young = |domain: &String| {
            let registration = world.registration(domain);
            registration.filter(|r| world.as_of() - r.registered < 730 * DAY)
        };
        let servers: BTreeSet<String> =
            reached.iter().filter_map(young).filter_map(|r| r.nameservers.first().cloned()).collect();
        let cluster = |server: &&String| {
            let customers = world.pdns(&format!("rdata/{server}"), 100);
            (10..=60).contains(&customers.total)
                && customers.rows.iter().all(|r| !planned.contains(&r.rrname) && young(&r.rrname).is_some())
        };
        assert!(servers.iter().any(|s| cluster(&s)), "seed {seed}: {} servers", servers.len());
    }
}

#[test]
fn the_campaign_lives_among_crime_and_at_home_too() {
    let (mut crime, mut lines, mut hosting) = (0, 0, 0);
    for seed in 1..=12 {
        let world = world(seed);
        let planned = planned(&world.truth());
        for (addr, rows) in places(&world, &planned) {
            let own = rows.iter().filter(|r| planned.contains(&r.rrname)).count();
            let addr: Ipv4Addr = addr.parse().unwrap();
            let [a, b, c, d] = addr.octets();
            let mut out = Vec::new();
            let ptr = Name::from_text(&format!("{d}.{c}.{b}.{a}.in-addr.arpa")).unwrap();
            let _ = world.dns(ptr.as_wire(), rtype::PTR, &mut out);
            if own < 2 {
                continue;
            }
            crime +=
                usize::from(rows.len() > own && rows.iter().all(|r| r.time_last > world.as_of() - 800 * DAY));
            lines += usize::from(rows.iter().any(|r| r.rrname.starts_with("user")));
            hosting += usize::from(!out.is_empty());
        }
    }
    assert!(crime >= 5 && lines >= 2 && hosting >= 20, "{crime} {lines} {hosting}");
}

#[test]
fn lists_have_something_to_say() {
    let world = world(1);
    let kinds = ["104.18.32.7", "2.57.90.16", "5.79.71.205"];
    for addr in kinds {
        assert!(world.pdns(addr, 1).total > 1_000, "{addr}");
        assert!(world.network(addr.parse().unwrap()).is_some(), "{addr}");
    }
    assert!(world.pdns("rdata/ns1.brainydns.com", 1).total > 100_000);
    let below = |truth: &Truth| truth.planned.iter().filter(|p| p.domain.ends_with(".duckdns.org")).count();
    let worlds: Vec<World> = (1..=6).map(self::world).collect();
    assert!(worlds.iter().filter(|w| below(&w.truth()) > 0).count() >= 4);
}
