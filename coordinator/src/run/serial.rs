//! What the questions of a job would take one after another.

/// Buckets of answer times: eight to each doubling of a microsecond.
const BUCKETS: usize = 8 * 33;

/// Answer times of one source.
#[derive(Debug, Clone)]
struct Histogram {
    counts: [u32; BUCKETS],
    questions: u64,
}

/// Answer times by ask. Each question is taken at the tenth percentile of its ask: what an
/// upstream takes when it is not the job itself that keeps it busy.
#[derive(Debug, Default)]
pub struct Serial(Vec<Option<Box<Histogram>>>);

impl Serial {
    /// Notes a question that was answered or lost after so many microseconds.
    pub fn add(&mut self, ask: u8, rtt_us: u32) {
        let at = usize::from(ask);
        if at >= self.0.len() {
            self.0.resize(at + 1, None);
        }
        let empty = || Box::new(Histogram { counts: [0; BUCKETS], questions: 0 });
        let histogram = self.0[at].get_or_insert_with(empty);
        histogram.questions += 1;
        let count = &mut histogram.counts[bucket(rtt_us)];
        *count = count.saturating_add(1);
    }

    /// Milliseconds for all questions.
    pub fn ms(&self) -> u64 {
        self.0.iter().flatten().map(|h| h.questions * h.tenth_us()).sum::<u64>() / 1000
    }
}

impl Histogram {
    fn tenth_us(&self) -> u64 {
        let mut left = self.questions.div_ceil(10);
        for (at, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(u64::from(*count));
            if left == 0 {
                return floor_us(at);
            }
        }
        0
    }
}

/// Values below 8 have a bucket each, others their first three bits after the highest.
fn bucket(us: u32) -> usize {
    match us.checked_ilog2() {
        None => 0,
        Some(log @ 0..3) => ((us << (3 - log)) & 7) as usize + 8 * log as usize,
        Some(log) => ((us >> (log - 3)) & 7) as usize + 8 * log as usize,
    }
}

fn floor_us(bucket: usize) -> u64 {
    let (log, piece) = (bucket / 8, bucket as u64 % 8);
    ((8 + piece) << log) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_starts_at_most_an_eighth_below_its_values() {
        for us in [1u32, 2, 3, 7, 8, 9, 50_000, 51_234, 1_000_000, u32::MAX] {
            let floor = floor_us(bucket(us));
            assert!(
                floor <= u64::from(us) && u64::from(us) < floor + floor.div_ceil(8).max(1),
                "{us} {floor}"
            );
        }
        assert_eq!(bucket(0), 0);
    }

    #[test]
    fn load_of_ones_own_does_not_count() {
        let mut serial = Serial::default();
        // A fifth is answered after 50 ms, the rest waits in a queue.
        for n in 0..1_000 {
            serial.add(3, if n % 5 == 0 { 50_000 } else { 50_000 + n * 1_000 });
        }
        for _ in 0..10 {
            serial.add(0, 2_000_000);
        }
        let ms = serial.ms();
        assert!((44 * 1_000..=50 * 1_000 + 20_000).contains(&ms), "{ms}");
    }
}
