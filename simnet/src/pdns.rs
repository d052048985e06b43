//! Rows of passive DNS: kept ones and computed ones in one order, newest first.

use std::cmp::Ordering;

use crate::model::PdnsRow;

/// Computes the n-th row of a long list whose `time_last` never grows with n.
pub(crate) type RowAt = Box<dyn Fn(u64) -> PdnsRow + Send>;

/// A list of rows that are computed when they are taken.
pub(crate) struct Long {
    row: RowAt,
    next: u64,
    count: u64,
    head: Option<PdnsRow>,
}

impl Long {
    pub(crate) fn new(count: u64, row: RowAt) -> Self {
        let mut long = Self { row, next: 0, count, head: None };
        long.advance();
        long
    }

    fn advance(&mut self) -> Option<PdnsRow> {
        let fresh = (self.next < self.count).then(|| (self.row)(self.next));
        self.next += 1;
        std::mem::replace(&mut self.head, fresh)
    }
}

/// An answer of passive DNS, row by row, newest `time_last` first.
pub struct Rows {
    kept: std::vec::IntoIter<PdnsRow>,
    kept_head: Option<PdnsRow>,
    long: Vec<Long>,
    total: u64,
}

impl Rows {
    /// Sorts the kept rows and merges the long lists in between.
    pub(crate) fn new(mut kept: Vec<PdnsRow>, long: Vec<Long>) -> Self {
        kept.sort_by(order);
        kept.dedup();
        let total = kept.len() as u64 + long.iter().map(|l| l.count).sum::<u64>();
        let mut kept = kept.into_iter();
        let kept_head = kept.next();
        Self { kept, kept_head, long, total }
    }

    /// States another total than the number of rows at hand (a source that holds back rows).
    pub(crate) fn with_total(mut self, total: Option<u64>) -> Self {
        self.total = total.unwrap_or(self.total);
        self
    }

    /// How many rows there are in truth.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Iterator for Rows {
    type Item = PdnsRow;

    fn next(&mut self) -> Option<PdnsRow> {
        let heads = self.long.iter().enumerate().filter_map(|(i, l)| l.head.as_ref().map(|row| (i, row)));
        let newest = heads.min_by(|(_, a), (_, b)| order(a, b));
        match (newest, &self.kept_head) {
            (Some((i, row)), kept) if kept.as_ref().is_none_or(|k| order(row, k) == Ordering::Less) => {
                self.long[i].advance()
            }
            _ => std::mem::replace(&mut self.kept_head, self.kept.next()),
        }
    }
}

fn order(a: &PdnsRow, b: &PdnsRow) -> Ordering {
    b.time_last
        .cmp(&a.time_last)
        .then_with(|| a.rrname.cmp(&b.rrname))
        .then_with(|| a.rrtype.cmp(&b.rrtype))
        .then_with(|| a.rdata.cmp(&b.rdata))
        .then_with(|| a.time_first.cmp(&b.time_first))
        .then_with(|| (a.count, &a.origin).cmp(&(b.count, &b.origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: i64, last: i64) -> PdnsRow {
        PdnsRow {
            rrname: "a.example".to_owned(),
            rrtype: "A".to_owned(),
            rdata: "198.51.100.7".to_owned(),
            time_first: first,
            time_last: last,
            count: 1,
            origin: String::new(),
        }
    }

    #[test]
    fn two_stays_on_one_address_are_two_rows() {
        let rows = Rows::new(vec![row(1, 5), row(10, 20), row(2, 20), row(10, 20)], Vec::new());
        assert_eq!(rows.total(), 3);
        assert_eq!(rows.collect::<Vec<_>>(), vec![row(2, 20), row(10, 20), row(1, 5)]);
    }
}
