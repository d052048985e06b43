//! The rules of the house that a machine can check (`CONTRIBUTING.md`). Each failure says
//! what to do.

#[path = "tidy/code.rs"]
mod code;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use code::{functions, is_word};

/// No file of code is longer.
const FILE: usize = 500;
/// Few files are longer: one in ten.
const LONG_FILE: usize = 400;
/// No function is longer, its signature included.
const FUNCTION: usize = 80;
/// Files that documents name and that are the user's own.
const OF_THE_USER: [&str; 3] = ["kudzu.toml", "mine.toml", "scenario.toml"];

/// The files of the project, by path from its root.
struct Project {
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Project {
    /// What git knows or would take; without git, what is there.
    fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = tracked(&root).unwrap_or_default();
        if files.is_empty() {
            walk(&root, "", &mut files);
        }
        files.retain(|f| root.join(f).is_file());
        Self { root, files }
    }

    /// The text of a file; `None` where it is no text.
    fn text(&self, path: &str) -> Option<String> {
        String::from_utf8(fs::read(self.root.join(path)).ok()?).ok()
    }

    /// Files whose path ends so, with their texts.
    fn texts<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, String)> {
        self.files.iter().filter(move |f| f.ends_with(end)).filter_map(|f| Some((f.as_str(), self.text(f)?)))
    }

    fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains(path) || self.files.iter().any(|f| f.starts_with(&folder))
    }

    /// Folders at the root.
    fn tops(&self) -> BTreeSet<&str> {
        self.files.iter().filter_map(|f| f.split_once('/')).map(|(top, _)| top).collect()
    }
}

fn tracked(root: &Path) -> Option<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let out = git.output().ok().filter(|out| out.status.success())?;
    let text = String::from_utf8(out.stdout).ok()?;
    Some(text.split('\0').filter(|f| !f.is_empty()).map(str::to_owned).collect())
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".git" || name == "target" {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path);
        }
    }
}

/// What a document names in backticks and in blocks of code, by line.
fn named(markdown: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (at, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            // A block shows commands and output as well: only what has a folder is a path.
            found.extend(line.split_whitespace().filter(|w| w.contains('/')).map(|w| (at + 1, w.to_owned())));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.flat_map(str::split_whitespace).map(|w| (at + 1, w.to_owned())));
        }
    }
    found
}

/// The part of a word that must be a path of the project, if it looks like one.
fn path_in<'a>(word: &'a str, tops: &BTreeSet<&str>) -> Option<&'a str> {
    let word = word.split("::").next().unwrap_or_default();
    let word = word.trim_start_matches("./").trim_end_matches(['.', ',', ';', ':', ')']);
    let plain = word.find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
    // `worker/src/sources/*.rs` names a folder.
    let path = match plain {
        Some(at) => word[..at].rsplit_once('/')?.0,
        None => word,
    };
    let in_top = path.split_once('/').is_some_and(|(top, _)| tops.contains(top));
    let is_file =
        plain.is_none() && [".rs", ".toml", ".md"].iter().any(|e| path.len() > e.len() && path.ends_with(e));
    (in_top || is_file).then_some(path)
}

/// Fails with what is wrong and what to do about it.
fn none(problems: &[String], advice: &str) {
    assert!(problems.is_empty(), "\n{advice}\n  {}\n", problems.join("\n  "));
}

#[test]
fn files_are_short() {
    let project = Project::open();
    let sizes: Vec<(String, usize)> =
        project.texts(".rs").map(|(f, text)| (f.to_owned(), text.lines().count())).collect();
    assert!(sizes.len() > 50, "only {} files were found: the test looks in the wrong place", sizes.len());
    let over = |most: usize| -> Vec<String> {
        sizes.iter().filter(|(_, n)| *n > most).map(|(f, n)| format!("{f}: {n} lines")).collect()
    };
    none(&over(FILE), &format!("A file has at most {FILE} lines. Split these by what they are about:"));
    let long = over(LONG_FILE);
    let few = long.len() * 10 <= sizes.len();
    none(
        if few { &[] } else { &long },
        &format!("At most one file in ten has over {LONG_FILE} lines. Split some of these:"),
    );
}

#[test]
fn functions_are_short() {
    let mut problems = Vec::new();
    for (file, text) in Project::open().texts(".rs") {
        for (name, line, lines) in functions(&text) {
            if lines > FUNCTION {
                problems.push(format!("{file}:{line}: {name} has {lines} lines"));
            }
        }
    }
    none(&problems, &format!("A function has at most {FUNCTION} lines. Take steps out of these:"));
}

#[test]
fn what_documents_name_exists() {
    let project = Project::open();
    let tops = project.tops();
    let mut problems = Vec::new();
    let mut names = |file: &str, line: usize, word: &str| {
        let Some(path) = path_in(word, &tops) else { return };
        let ends = |f: &String| f == path || f.ends_with(&format!("/{path}"));
        if !project.has(path) && !OF_THE_USER.contains(&path) && !project.files.iter().any(ends) {
            problems.push(format!("{file}:{line}: {word}"));
        }
    };
    for (file, text) in project.texts(".md") {
        named(&text).iter().for_each(|(line, word)| names(file, *line, word));
    }
    for (file, text) in project.texts(".rs") {
        let comments = text.lines().enumerate().filter(|(_, l)| l.trim_start().starts_with("//"));
        let words = comments.flat_map(|(at, l)| l.split([' ', '`', '(', ')']).map(move |w| (at + 1, w)));
        words.filter(|(_, w)| w.starts_with("docs/")).for_each(|(line, word)| names(file, line, word));
    }
    for (file, text) in project.texts(".md") {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in text.split("](").skip(1).filter_map(|t| t.split([')', '#', ' ']).next()) {
            let outside = link.is_empty() || link.contains(':');
            if !outside && !project.root.join(folder).join(link).exists() {
                problems.push(format!("{file}: the link to {link}"));
            }
        }
    }
    none(&problems, "These are named and do not exist. Name what is there, from the root of the project:");
}

#[test]
fn paths_are_told_from_other_words() {
    let tops = BTreeSet::from(["worker", "docs"]);
    let path = |word| path_in(word, &tops);
    assert_eq!(path("worker/src/lib.rs::run"), Some("worker/src/lib.rs"));
    assert_eq!(path("worker/src/sources/*.rs"), Some("worker/src/sources"));
    assert_eq!(path("./docs/PLANS.md,"), Some("docs/PLANS.md"));
    assert_eq!(path("README.md"), Some("README.md"));
    for other in
        ["jobs/<id>/end", "text/html", ".rs", "*.toml", "worker", "10/8", "https://docs.example/a.md"]
    {
        assert_eq!(path(other), None, "{other}");
    }
}

#[test]
fn every_source_is_explained_and_tested() {
    let project = Project::open();
    let readme = project.text("README.md").unwrap_or_default();
    let tests: Vec<(&str, String)> = project
        .texts(".rs")
        .filter(|(f, _)| f.starts_with("worker/tests/") || f.ends_with("_tests.rs"))
        .collect();
    let (mut problems, mut sources) = (Vec::new(), 0);
    for (file, text) in project.texts(".rs") {
        let Some(name) = file.strip_prefix("worker/src/sources/").and_then(|f| f.strip_suffix(".rs")) else {
            continue;
        };
        if name.contains('/') || name == "mod" || name.ends_with("_tests") {
            continue;
        }
        sources += 1;
        let doc = text.lines().next().and_then(|l| l.strip_prefix("//! "));
        if doc.is_none() {
            problems.push(format!("{file}: begin with //! and what it answers"));
        }
        let instance = doc.and_then(|d| d.strip_prefix('`')?.split_once("`: ")).map(|(instance, _)| instance);
        if let Some(instance) = instance.filter(|i| !readme.contains(&format!("`{i}`"))) {
            problems.push(format!("{file}: list `{instance}` among the sources in README.md"));
        }
        let tested =
            text.contains("#[cfg(test)]") || tests.iter().any(|(f, t)| f.contains(name) || t.contains(name));
        if !tested {
            problems.push(format!("{file}: add tests of what it builds and parses"));
        }
    }
    assert!(sources > 5, "only {sources} sources were found: the test looks in the wrong place");
    none(&problems, "Every source has a doc line, a line in the README, and tests:");
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts each, so that this file has none of them.
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let marks = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let mut problems = Vec::new();
    for (file, text) in Project::open().texts(".rs") {
        for (at, line) in text.lines().enumerate() {
            let mark = line.split(|c| !is_word(c)).any(|word| marks.contains(&word));
            if mark || macros.iter().any(|m| line.contains(m)) {
                problems.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none(&problems, "Do these, or write down outside the code what is to be done:");
}

#[test]
fn no_path_of_one_machine() {
    // In two parts each, so that this file has none of them.
    let foreign = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("../sh", "ared")];
    let mut problems = Vec::new();
    for (file, text) in Project::open().texts("") {
        for (at, line) in text.lines().enumerate() {
            if let Some(path) = foreign.iter().find(|f| line.contains(**f)) {
                problems.push(format!("{file}:{}: {path}", at + 1));
            }
        }
    }
    none(&problems, "The project names paths from its own root only:");
}

#[test]
fn every_decision_is_listed() {
    let project = Project::open();
    let list = project.text("docs/adr/README.md").unwrap_or_default();
    let is_unlisted = |f: &&String| {
        f.strip_prefix("docs/adr/").is_some_and(|n| n != "README.md" && !list.contains(&format!("({n})")))
    };
    let problems: Vec<String> = project.files.iter().filter(is_unlisted).cloned().collect();
    none(&problems, "Link these from docs/adr/README.md:");
}

#[test]
fn every_member_has_a_comment() {
    let manifest = Project::open().text("Cargo.toml").unwrap_or_default();
    let members: Vec<&str> = manifest
        .lines()
        .skip_while(|l| !l.starts_with("members"))
        .skip(1)
        .take_while(|l| !l.starts_with(']'))
        .collect();
    assert!(members.len() > 4, "Cargo.toml: write one member a line");
    let bare: Vec<String> =
        members.iter().filter(|l| !l.contains(" # ")).map(|l| l.trim().to_owned()).collect();
    none(&bare, "Say in Cargo.toml, in a comment on its line, what each member is:");
}

#[test]
fn ci_runs_what_the_readme_says() {
    let project = Project::open();
    let command = "make test";
    let without: Vec<String> = [".ci/run", "README.md"]
        .into_iter()
        .filter(|f| !project.text(f).unwrap_or_default().contains(command))
        .map(str::to_owned)
        .collect();
    none(&without, "People and CI run the same command, `make test`; it is missing in:");
}
