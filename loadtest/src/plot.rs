//! Plots as SVG, readable on any background: they bring their own.

use std::fmt::Write as _;

/// A plot of lines.
#[derive(Debug, Clone, Default)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What its horizontal axis is, with the unit.
    pub x: String,
    /// What its vertical axis is, with the unit.
    pub y: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Upright marks: where, and what happened there.
    pub marks: Vec<(f64, String)>,
    /// Whether the horizontal axis is of percentiles: each nine takes as much room as the one
    /// before.
    pub percentiles: bool,
}

/// A line of a plot.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Told apart by people who see few colours, too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"];
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
/// Left, top, right and bottom of the area of the lines.
const AREA: [f64; 4] = [74.0, 40.0, 690.0, 330.0];
/// Points of a line: more cannot be seen.
const POINTS: usize = 700;
/// Nines that the axis of percentiles has at most.
const NINES: f64 = 4.0;

impl Plot {
    /// Without lines yet.
    pub fn new(title: &str, x: &str, y: &str) -> Self {
        Self { title: title.into(), x: x.into(), y: y.into(), ..Self::default() }
    }

    /// With one more line; one without points is left out.
    pub fn line(&mut self, name: &str, points: Vec<(f64, f64)>) {
        if !points.is_empty() {
            self.lines.push(Line { name: name.into(), points });
        }
    }

    /// Where a value of the horizontal axis lies, in any measure.
    fn place(&self, x: f64) -> f64 {
        if self.percentiles { -(1.0 - x.min(1.0 - 0.1_f64.powf(NINES))).log10() } else { x }
    }

    fn ranges(&self) -> [f64; 3] {
        let points = || self.lines.iter().flat_map(|l| &l.points);
        let xs = || points().map(|p| self.place(p.0));
        let most = |all: &mut dyn Iterator<Item = f64>| all.fold(f64::NEG_INFINITY, f64::max);
        let left = xs().fold(f64::INFINITY, f64::min);
        let (left, right) = (if left.is_finite() { left.min(0.0) } else { 0.0 }, most(&mut xs()));
        let right = if right > left { right } else { left + 1.0 };
        let top = most(&mut points().map(|p| p.1));
        [left, right, if top > 0.0 { top * 1.05 } else { 1.0 }]
    }

    /// As the text of a file.
    pub fn svg(&self) -> String {
        let [x0, y0, x1, y1] = AREA;
        let [left, right, top] = self.ranges();
        let across = |x: f64| x0 + (self.place(x) - left) / (right - left) * (x1 - x0);
        let up = |y: f64| y1 - y / top * (y1 - y0);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        let mut put = |element: String| out.push_str(&(element + "\n"));
        put(text(x0, 24.0, "start", 15, &self.title));
        for y in ticks(0.0, top) {
            put(rule([x0, up(y), x1, up(y)], "#e4e4e4"));
            put(text(x0 - 8.0, up(y) + 4.0, "end", 12, &number(y)));
        }
        for (x, label) in self.across(left, right) {
            put(rule([across(x), y0, across(x), y1], "#e4e4e4"));
            put(text(across(x), y1 + 18.0, "middle", 12, &label));
        }
        for (x, what) in &self.marks {
            put(rule([across(*x), y0, across(*x), y1], "#b8860b"));
            let (x, y) = (across(*x) - 3.0, y0 + 4.0);
            put(format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"9\" fill=\"#8a6508\" text-anchor=\"end\" \
                 transform=\"rotate(-90 {x:.1} {y:.1})\">{}</text>",
                escaped(what)
            ));
        }
        put(rule([x0, y1, x1, y1], "#444444"));
        put(rule([x0, y0, x0, y1], "#444444"));
        put(text((x0 + x1) / 2.0, y1 + 38.0, "middle", 12, &self.x));
        let (x, y) = (16.0, (y0 + y1) / 2.0);
        put(format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{}</text>",
            escaped(&self.y)
        ));
        for (n, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            // After the colours are used up, lines are broken.
            let dash = if n < COLOURS.len() { "" } else { " stroke-dasharray=\"5 3\"" };
            put(path(line, colour, dash, across, up));
            let y = y0 + 8.0 + 18.0 * n as f64;
            put(format!(
                "<path d=\"M{:.1} {y:.1}h22\" stroke=\"{colour}\" stroke-width=\"2.5\"{dash}/>",
                x1 + 16.0
            ));
            put(text(x1 + 44.0, y + 4.0, "start", 12, &line.name));
        }
        out + "</svg>\n"
    }

    /// Ticks of the horizontal axis, with their labels.
    fn across(&self, left: f64, right: f64) -> Vec<(f64, String)> {
        if self.percentiles {
            let all = [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];
            let shown = all.into_iter().filter(|p| self.place(*p) <= right + 1e-9);
            return shown.map(|p| (p, format!("{}", (p * 1e6).round() / 1e4))).collect();
        }
        ticks(left, right).into_iter().map(|x| (x, number(x))).collect()
    }
}

fn path(
    line: &Line,
    colour: &str,
    dash: &str,
    across: impl Fn(f64) -> f64,
    up: impl Fn(f64) -> f64,
) -> String {
    let mut d = String::new();
    for (at, (x, y)) in crate::sample::thin(&line.points, POINTS).enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        // Writing to a text does not fail.
        let _ = write!(d, "{command}{:.1} {:.1}", across(*x), up(*y));
    }
    let mut dots = String::new();
    for (x, y) in line.points.iter().filter(|_| line.points.len() < 4) {
        let _ = write!(
            dots,
            "\n<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
            across(*x),
            up(*y)
        );
    }
    format!(
        "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{dash}/>{dots}"
    )
}

fn rule([x0, y0, x1, y1]: [f64; 4], colour: &str) -> String {
    format!("<path d=\"M{x0:.1} {y0:.1}L{x1:.1} {y1:.1}\" stroke=\"{colour}\" stroke-width=\"1\"/>")
}

fn text(x: f64, y: f64, anchor: &str, size: u8, what: &str) -> String {
    let what = escaped(what);
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\">{what}</text>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Round numbers of a range, some five of them.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough);
    let step = step.unwrap_or(rough);
    let first = (from / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|x| *x <= to * (1.0 + 1e-9)).take(20).collect()
}

/// As people read it.
fn number(x: f64) -> String {
    match x.abs() {
        size if size >= 1e6 => format!("{} M", short(x / 1e6)),
        size if size >= 1e4 => format!("{} k", short(x / 1e3)),
        _ => short(x),
    }
}

fn short(x: f64) -> String {
    let text = format!("{x:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let mut plot = Plot::new("a < b & c", "seconds", "questions a second");
        plot.line("worker & co", (0..5_000).map(|n| (f64::from(n), f64::from(n % 97))).collect());
        plot.line("one point", vec![(3.0, 40.0)]);
        plot.line("none", Vec::new());
        plot.marks.push((2_000.0, "kill-worker".into()));
        plot
    }

    /// Whether every element that is opened is closed, in order, and no text breaks out.
    fn well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let Some((tag, text)) = part.split_once('>') else { return false };
            let balanced = tag.matches('"').count().is_multiple_of(2);
            let entities =
                text.split('&').skip(1).all(|e| ["amp;", "lt;", "gt;"].iter().any(|k| e.starts_with(k)));
            if !balanced || !entities || text.contains('>') {
                return false;
            }
            let name = |t: &str| t.split([' ', '/']).next().unwrap_or_default().to_owned();
            match tag.strip_prefix('/') {
                Some(closed) if open.pop().as_deref() != Some(closed) => return false,
                Some(_) => {}
                None if tag.ends_with('/') => {}
                None => open.push(name(tag)),
            }
        }
        open.is_empty()
    }

    #[test]
    fn a_plot_is_well_formed_and_small() {
        let svg = plot().svg();
        assert!(well_formed(&svg), "{svg}");
        assert!(!well_formed(&svg.replace("&amp;", "&")));
        assert!(svg.len() < 40_000, "{}", svg.len());
        assert_eq!(svg.matches("stroke-width=\"1.8\"").count(), 2, "a line without points is left out");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_plot_of_nothing_is_one_all_the_same() {
        let svg = Plot::new("t", "x", "y").svg();
        assert!(well_formed(&svg) && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn each_nine_takes_as_much_room() {
        let mut plot = Plot { percentiles: true, ..Plot::new("t", "percentile", "s") };
        plot.line("a", vec![(0.0, 1.0), (0.9, 2.0), (0.99, 3.0), (1.0, 4.0)]);
        let places: Vec<f64> = [0.9, 0.99, 0.999, 1.0].iter().map(|p| plot.place(*p)).collect();
        assert!(places.iter().zip([1.0, 2.0, 3.0, 4.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{places:?}");
        let svg = plot.svg();
        assert!(svg.contains(">99.9<") && svg.contains(">99.99<") && well_formed(&svg), "{svg}");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 0.7).len(), 4);
        let numbers = [0.0, 0.25, 1_500.0, 42_000.0, 3_000_000.0].map(number);
        assert_eq!(numbers, ["0", "0.25", "1500", "42 k", "3 M"]);
    }
}
