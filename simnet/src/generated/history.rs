//! Passive DNS, computed: by owner, by address, by host.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::cast::{Hub, HubKind};
use super::lexicon::registrable;
use super::ordinary::{Delegation, Mail, Www};
use super::zones::Domain;
use super::{Generated, Tag};
use crate::model::PdnsRow;
use crate::name::{Name, text};
use crate::pdns::{Long, Rows};
use crate::time::DAY;
use crate::world::PdnsQuery;

/// How long back the newest rows of a hub reach.
const HUB_SPAN: i64 = 300 * DAY;

pub(super) fn rows(world: &Arc<Generated>, query: &PdnsQuery) -> Rows {
    match query {
        PdnsQuery::Name(name) => Rows::new(world.rows_of_owner(name), Vec::new()),
        PdnsQuery::Addr(IpAddr::V4(addr)) => {
            let long =
                world.cast.hubs.iter().position(|h| h.addr == *addr).map(|hub| hub_rows(world, hub, None));
            Rows::new(world.rows_of_v4(*addr), long.into_iter().collect())
        }
        PdnsQuery::Addr(addr @ IpAddr::V6(v6)) => {
            let mut kept = world.tables.rows.of_rdata(&addr.to_string());
            kept.extend(world.v6_owner(*v6).and_then(|i| world.v6_row(i)));
            Rows::new(kept, Vec::new())
        }
        PdnsQuery::Rdata(host) => Rows::new(world.rows_of_host(host), served_rows(world, host)),
        PdnsQuery::Either(name) => {
            let mut kept = world.rows_of_owner(name);
            kept.extend(world.rows_of_host(name));
            Rows::new(kept, served_rows(world, name))
        }
    }
}

/// The names of all hubs that this name server serves.
fn served_rows(world: &Arc<Generated>, host: &Name) -> Vec<Long> {
    let provider = world.cast.ns_hosts.get(host).copied().filter(|(_, pair)| *pair == 0);
    let hubs = world.cast.hubs.iter().enumerate();
    let served = hubs.filter(|(_, h)| provider.is_some_and(|(number, _)| h.ns == number));
    served.map(|(hub, _)| hub_rows(world, hub, Some(host.clone()))).collect()
}

/// The rows of a hub's own names: their address, or the name server they use.
fn hub_rows(world: &Arc<Generated>, hub: usize, server: Option<Name>) -> Long {
    let count = world.cast.hubs[hub].count;
    let world = Arc::clone(world);
    Long::new(
        count,
        Box::new(move |rank| {
            let hub = &world.cast.hubs[hub];
            let owner = world.lexicon.name(hub.base + rank).to_string();
            let (first, last) = world.filler_times(hub, rank);
            match &server {
                Some(host) => world.row(owner, "NS", host.to_string(), first, last),
                None => world.row(owner, "A", hub.addr.to_string(), first, last),
            }
        }),
    )
}

impl Generated {
    /// First and last seen; the last never grows with the rank, so that a hub's rows are in order.
    pub(super) fn filler_times(&self, hub: &Hub, rank: u64) -> (i64, i64) {
        let back = (rank as f64 / hub.count as f64 * HUB_SPAN as f64) as i64;
        let last = self.now - 3600 - back;
        let lived = 1 + (self.roll(Tag::HubRow, hub.base + rank) % 900) as i64;
        (last - lived * DAY, last)
    }

    pub(super) fn row(&self, rrname: String, rrtype: &str, rdata: String, first: i64, last: i64) -> PdnsRow {
        let days = (last - first) / DAY + 1;
        let busy = 1 + self.roll(Tag::Count, first as u64 ^ last as u64) % 20;
        PdnsRow {
            rrname,
            rrtype: rrtype.to_owned(),
            rdata,
            time_first: first,
            time_last: last,
            count: days as u64 * busy,
            origin: "https://pdns.simnet.example/".to_owned(),
        }
    }

    fn rows_of_owner(&self, name: &Name) -> Vec<PdnsRow> {
        let mut rows = self.tables.rows.of_owner(&name.to_string());
        let wire = name.as_wire();
        let Some(cut) = registrable(wire) else { return rows };
        let (apex, prefix) = (&wire[cut..], &wire[..cut]);
        if self.tables.has(apex) {
            rows.extend(self.dynamic_row(name));
            return rows;
        }
        match self.domain(apex) {
            Some(Domain::Ordinary(i)) => rows.extend(self.ordinary_rows(i, apex, prefix, name)),
            Some(Domain::Filler(index, hub)) if prefix.is_empty() => {
                let hub = &self.cast.hubs[hub];
                let (first, last) = self.filler_times(hub, index - hub.base);
                rows.push(self.row(name.to_string(), "A", hub.addr.to_string(), first, last));
                for host in &self.cast.ns[hub.ns].groups[0] {
                    rows.push(self.row(name.to_string(), "NS", host.to_string(), first, last));
                }
            }
            Some(Domain::Filler(..)) | None => {}
        }
        rows
    }

    fn ordinary_rows(&self, i: u64, apex: &[u8], prefix: &[u8], name: &Name) -> Vec<PdnsRow> {
        let owner = name.to_string();
        let (first, last) = self.span(i);
        let mut rows = Vec::new();
        match prefix {
            [] => {
                for stay in self.stays(i) {
                    rows.push(self.row(owner.clone(), "A", stay.addr.to_string(), stay.first, stay.last));
                }
                rows.extend(self.v6_row(i));
                for host in self.ns_hosts_of(i) {
                    rows.push(self.row(owner.clone(), "NS", host.to_string(), first, last));
                }
                for (preference, host) in self.mx_hosts_of(i, apex) {
                    rows.push(self.row(owner.clone(), "MX", format!("{preference} {host}"), first, last));
                }
            }
            b"\x03www" => match self.www(i) {
                Www::Cdn(edge) => {
                    rows.push(self.row(owner, "CNAME", self.cdn_host(i, edge).to_string(), first, last));
                }
                Www::Apex => rows.push(self.row(owner, "CNAME", text(apex), first, last)),
                Www::Addr => {}
            },
            _ => {}
        }
        rows
    }

    /// From the first address to the last time seen.
    fn span(&self, i: u64) -> (i64, i64) {
        let life = self.life(i);
        let last = self.last_seen(i, life);
        (self.stays(i).first().map_or(life.created, |s| s.first), last)
    }

    fn v6_row(&self, i: u64) -> Option<PdnsRow> {
        let stay = self.stays(i).last().copied()?;
        let addr = self.v6(i)?;
        Some(self.row(self.lexicon.name(i).to_string(), "AAAA", addr.to_string(), stay.first, stay.last))
    }

    fn rows_of_v4(&self, addr: Ipv4Addr) -> Vec<PdnsRow> {
        let mut rows = self.tables.rows.of_rdata(&addr.to_string());
        if let Some(host) = self.host_of(addr) {
            rows.extend(self.tenants(host).into_iter().flat_map(|i| self.stay_rows(i, addr)));
        }
        if let Some(user) = self.user_on(addr) {
            let zone = &self.cast.dyndns[user as usize % 2];
            rows.extend(Name::from_text(&format!("user{user}.{zone}")).and_then(|n| self.dynamic_row(&n)));
        }
        if let Some(taker) = self.cast.hubs.iter().position(|h| h.addr == addr) {
            let visitors = self.visits.members(taker);
            if self.cast.hubs[taker].kind == HubKind::Cdn {
                rows.extend(visitors.filter(|i| self.www(*i) == Www::Cdn(taker)).map(|i| {
                    let (first, last) = self.span(i);
                    self.row(self.cdn_host(i, taker).to_string(), "A", addr.to_string(), first, last)
                }));
            } else {
                rows.extend(visitors.flat_map(|i| self.stay_rows(i, addr)));
            }
        }
        rows
    }

    fn stay_rows(&self, i: u64, addr: Ipv4Addr) -> Vec<PdnsRow> {
        let stays = self.stays(i).into_iter().filter(|s| s.addr == addr);
        stays
            .map(|s| self.row(self.lexicon.name(i).to_string(), "A", addr.to_string(), s.first, s.last))
            .collect()
    }

    /// A dynamic DNS name on its line.
    fn dynamic_row(&self, name: &Name) -> Option<PdnsRow> {
        let shown = name.to_string();
        let (label, zone) = shown.split_once('.')?;
        let user: u64 = label.strip_prefix("user")?.parse().ok()?;
        let at = self.cast.dyndns.iter().position(|d| d == zone)?;
        let addr = self.line_of(user).filter(|_| user as usize % 2 == at)?;
        let lived = (1 + self.roll(Tag::Line, user) % 14) as i64 * DAY;
        let seen = (self.roll(Tag::Seen, user ^ 0xdd) % DAY as u64) as i64;
        Some(self.row(shown, "A", addr.to_string(), self.now - seen - lived, self.now - seen))
    }

    fn rows_of_host(&self, host: &Name) -> Vec<PdnsRow> {
        let shown = host.to_string();
        let mut rows = self.tables.rows.of_rdata(&shown);
        if let Some((number, pair)) = self.cast.ns_hosts.get(host).copied() {
            let leaders = self.ns_shares.members(number).filter(|i| self.leader(*i) == *i);
            let owned = leaders.flat_map(|leader| self.cluster(leader));
            let wanted = Delegation::Provider { number, pair };
            rows.extend(
                owned.filter(|i| self.delegation(*i) == wanted).map(|i| self.customer_row(i, "NS", &shown)),
            );
        }
        if let Some(number) = self.cast.mail_hosts.get(host).copied() {
            let place = self.cast.mail[number].groups[0].iter().position(|h| h == host).unwrap_or(0);
            let data = format!("{} {shown}", 10 * (place + 1));
            rows.extend(self.mail_shares.members(number).map(|i| self.customer_row(i, "MX", &data)));
        }
        rows.extend(self.rows_of_own_host(host));
        rows
    }

    /// Who uses a host that belongs to an ordinary domain.
    fn rows_of_own_host(&self, host: &Name) -> Vec<PdnsRow> {
        let wire = host.as_wire();
        let shown = host.to_string();
        let Some(cut) = registrable(wire) else { return Vec::new() };
        let (apex, prefix) = (&wire[cut..], &wire[..cut]);
        if self.tables.has(apex) {
            return self.cdn_customer(&shown).into_iter().collect();
        }
        let Some(Domain::Ordinary(i)) = self.domain(apex) else { return Vec::new() };
        match (prefix, self.mail(i)) {
            (b"\x04mail", Mail::Own { .. }) => vec![self.customer_row(i, "MX", &format!("10 {shown}"))],
            (b"\x03mx2", Mail::Own { second: true }) => {
                vec![self.customer_row(i, "MX", &format!("20 {shown}"))]
            }
            (b"\x03ns1" | b"\x03ns2", _) if self.delegation(i) == (Delegation::Vanity { owner: i }) => {
                self.cluster(i).into_iter().map(|c| self.customer_row(c, "NS", &shown)).collect()
            }
            ([], _) if self.www(i) == Www::Apex => {
                let (first, last) = self.span(i);
                vec![self.row(format!("www.{shown}"), "CNAME", shown, first, last)]
            }
            _ => Vec::new(),
        }
    }

    fn cdn_customer(&self, host: &str) -> Option<PdnsRow> {
        let (label, zone) = host.split_once('.')?;
        let i: u64 = label.strip_prefix('d')?.parse().ok().filter(|i| *i < self.ordinary)?;
        let Www::Cdn(edge) = self.www(i) else { return None };
        if self.cast.cdns[edge / super::cast::CDN_EDGES] != zone {
            return None;
        }
        let (first, last) = self.span(i);
        Some(self.row(format!("www.{}", self.lexicon.name(i)), "CNAME", host.to_owned(), first, last))
    }

    fn customer_row(&self, i: u64, rrtype: &str, data: &str) -> PdnsRow {
        let (first, last) = self.span(i);
        self.row(self.lexicon.name(i).to_string(), rrtype, data.to_owned(), first, last)
    }
}
