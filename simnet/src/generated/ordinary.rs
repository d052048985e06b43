//! The facts of an ordinary domain, each computed from its number alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cast::{HOSTS_PER_NET, Hub, HubKind, MAIL, Use};
use super::{Generated, Tag};
use crate::rng::unit;
use crate::time::DAY;

/// A time on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) addr: Ipv4Addr,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// From registration to the end of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) created: i64,
    /// When it stopped to resolve; `None` when it still does.
    pub(crate) end: Option<i64>,
}

/// Who serves a domain's mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mail {
    Provider(usize),
    /// `mail.<domain>`, and perhaps `mx2.<domain>`.
    Own {
        second: bool,
    },
    Null,
    None,
}

/// Who serves a domain's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delegation {
    Provider {
        number: usize,
        pair: usize,
    },
    /// `ns1.` and `ns2.` of the company's first domain.
    Vanity {
        owner: u64,
    },
}

/// What `www.<domain>` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Www {
    Apex,
    Cdn(usize),
    Addr,
}

/// Earlier layouts, and how likely a domain took part in each.
const EARLIER: [(usize, f64); 3] = [(3, 0.30), (2, 0.45), (1, 0.70)];

impl Generated {
    pub(crate) fn life(&self, i: u64) -> Life {
        let age = unit(self.roll(Tag::Age, i));
        // Many are young, a few date from the nineties.
        let days = 45 + (age * age * 7000.0) as i64;
        let created = self.now - days * DAY - (self.roll(Tag::Second, i) % 86_400) as i64;
        let dead = unit(self.roll(Tag::Dead, i)) < 0.06;
        let end = dead.then(|| {
            let lived = 0.4 + 0.55 * unit(self.roll(Tag::End, i));
            created + ((self.now - created) as f64 * lived) as i64
        });
        Life { created, end }
    }

    /// When passive DNS saw the domain last.
    pub(crate) fn last_seen(&self, i: u64, life: Life) -> i64 {
        life.end.unwrap_or(self.now - (self.roll(Tag::Seen, i) % (3 * DAY as u64)) as i64)
    }

    /// The leader of a company's cluster; the domain itself when it belongs to none.
    pub(crate) fn leader(&self, i: u64) -> u64 {
        let seat = self.layouts[0].seat(i);
        let mut block = self.layouts[0].block(seat.block);
        if seat.offset < self.cluster_size(seat.block, block.len() as u64) {
            block.next().unwrap_or(i)
        } else {
            i
        }
    }

    /// All domains of the owner of this one, in a fixed order.
    pub(crate) fn cluster(&self, i: u64) -> Vec<u64> {
        let seat = self.layouts[0].seat(i);
        let block = self.layouts[0].block(seat.block);
        let size = self.cluster_size(seat.block, block.len() as u64);
        if seat.offset < size { block.take(size as usize).collect() } else { vec![i] }
    }

    /// The first domains of some blocks belong to one company.
    fn cluster_size(&self, block: u64, size: u64) -> u64 {
        let draw = self.roll(Tag::Cluster, block);
        if size < 6 || draw % 5 < 2 { 0 } else { (2 + (draw >> 8) % 7).min(size / 2) }
    }

    pub(crate) fn host_addr(&self, host: u64) -> Ipv4Addr {
        let (slot, inside) = (host / HOSTS_PER_NET, host % HOSTS_PER_NET);
        let octet = 1 + self.roll(Tag::Octet, slot) % 21 + inside * 21;
        self.space.v4(slot, octet as u8)
    }

    /// The number of a host address.
    pub(crate) fn host_of(&self, addr: Ipv4Addr) -> Option<u64> {
        let (slot, octet) = self.space.slot_v4(addr)?;
        let Use::Hosting(first) = self.cast.nets.get(slot as usize)?.used else { return None };
        let above = u64::from(octet).checked_sub(1 + self.roll(Tag::Octet, slot) % 21)?;
        let inside = above / 21;
        let host = first + inside;
        (above % 21 == 0 && inside < HOSTS_PER_NET && host < self.layouts[0].hosts()).then_some(host)
    }

    /// Where the domain points now.
    pub(crate) fn current_addr(&self, i: u64) -> Ipv4Addr {
        self.host_addr(self.layouts[0].seat(i).host)
    }

    pub(crate) fn v6(&self, i: u64) -> Option<Ipv6Addr> {
        (unit(self.roll(Tag::V6, i)) < self.tune.v6).then(|| {
            let host = self.current_addr(i);
            let slot = self.layouts[0].seat(i).host / HOSTS_PER_NET;
            self.space.v6(slot, host.octets()[3], i)
        })
    }

    /// The domain that owns an IPv6 address.
    pub(crate) fn v6_owner(&self, addr: Ipv6Addr) -> Option<u64> {
        let (_, _, tenant) = self.space.slot_v6(addr)?;
        (tenant < self.ordinary && self.v6(tenant) == Some(addr)).then_some(tenant)
    }

    /// The hub on which the domain once lay, or on whose network its `www` is.
    pub(crate) fn hub_visit(&self, i: u64) -> Option<&Hub> {
        self.visits.of(i).and_then(|taker| self.cast.hubs.get(taker))
    }

    /// Every address of the domain, oldest first; the last one is the current one if it is alive.
    pub(crate) fn stays(&self, i: u64) -> Vec<Stay> {
        let life = self.life(i);
        let end = self.last_seen(i, life);
        let mut addrs: Vec<Ipv4Addr> = Vec::with_capacity(5);
        if let Some(hub) = self.hub_visit(i).filter(|h| h.kind != HubKind::Cdn) {
            addrs.push(hub.addr);
        }
        for (layout, share) in EARLIER {
            if self.takes_part(i, layout, share) {
                addrs.push(self.host_addr(self.layouts[layout].seat(i).host));
            }
        }
        addrs.push(self.current_addr(i));
        addrs.dedup();
        let start = life.created + (self.roll(Tag::Start, i) % (5 * DAY as u64)) as i64;
        let step = (end - start) / addrs.len() as i64;
        let cut = |n: usize| {
            let jitter = (unit(self.roll(Tag::Cut, i * 8 + n as u64)) - 0.5) * 0.6 * step as f64;
            start + step * n as i64 + jitter as i64
        };
        let last = addrs.len() - 1;
        let stay = |(n, addr): (usize, Ipv4Addr)| {
            let first = if n == 0 { start } else { cut(n) };
            let gap = (self.roll(Tag::Gap, i * 8 + n as u64) % (2 * DAY as u64)) as i64;
            let until = if n == last { end } else { (cut(n + 1) - gap).max(first) };
            Stay { addr, first, last: until.max(first) }
        };
        addrs.into_iter().enumerate().map(stay).collect()
    }

    fn takes_part(&self, i: u64, layout: usize, share: f64) -> bool {
        unit(self.roll(Tag::Part, i * 4 + layout as u64)) < share * self.tune.history
    }

    /// All ordinary domains that are or were on a host address.
    pub(crate) fn tenants(&self, host: u64) -> Vec<u64> {
        let mut found: Vec<u64> = self.layouts[0].block(self.layouts[0].block_on(host)).collect();
        for (layout, share) in EARLIER {
            let block = self.layouts[layout].block_on(host);
            found.extend(self.layouts[layout].block(block).filter(|i| self.takes_part(*i, layout, share)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many ordinary domains point at a host address now.
    pub(crate) fn block_len(&self, host: u64) -> usize {
        self.layouts[0].block(self.layouts[0].block_on(host)).len()
    }

    pub(crate) fn delegation(&self, i: u64) -> Delegation {
        let leader = self.leader(i);
        match self.ns_shares.of(leader) {
            Some(number) => {
                let pairs = self.cast.ns[number].groups.len() as u64;
                Delegation::Provider { number, pair: (self.roll(Tag::NsPair, leader) % pairs) as usize }
            }
            None => Delegation::Vanity { owner: leader },
        }
    }

    pub(crate) fn mail(&self, i: u64) -> Mail {
        match self.mail_shares.of(i) {
            Some(n) if n < MAIL => Mail::Provider(n),
            Some(n) if n == MAIL => {
                Mail::Own { second: self.roll(Tag::SecondMx, i) % 10 < self.tune.second_mx }
            }
            Some(_) => Mail::Null,
            None => Mail::None,
        }
    }

    pub(crate) fn www(&self, i: u64) -> Www {
        if self.life(i).end.is_none()
            && let Some(taker) = self.visits.of(i)
            && self.cast.hubs[taker].kind == HubKind::Cdn
        {
            return Www::Cdn(taker);
        }
        if self.roll(Tag::Www, i) % 10 < 3 { Www::Addr } else { Www::Apex }
    }

    /// Whether any source of addresses knows this one, and as part of which network.
    pub(crate) fn net_of(&self, addr: IpAddr) -> Option<(u64, &super::cast::Net)> {
        let slot = match addr {
            IpAddr::V4(v4) => self.cast.placed(v4).or_else(|| Some(self.space.slot_v4(v4)?.0))?,
            IpAddr::V6(v6) => self.space.slot_v6(v6)?.0,
        };
        self.cast.nets.get(slot as usize).map(|net| (slot, net))
    }
}
