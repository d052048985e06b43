use super::*;

fn parse(text: &str) -> Result<Scenario, Error> {
    Scenario::parse("test", text)
}

const LEAST: &str = "about = \"x\"\n[[load]]\nname = \"job\"\njobs = 1\n";

#[test]
fn all_that_come_with_the_command_are_read() {
    for (name, text) in BUILTIN {
        let scenario =
            parse(text).unwrap_or_else(|e| panic!("{name}: {e} {:?}", std::error::Error::source(&e)));
        assert!(!scenario.about.ends_with('.'), "{name}: a sentence goes on after it");
        assert!(!scenario.checks.is_empty(), "{name} checks nothing");
        let again = toml::to_string(&scenario).unwrap();
        assert_eq!(toml::to_string(&parse(&again).unwrap()).unwrap(), again, "{name}");
    }
    assert!(about().iter().all(|(_, about)| about.len() > 20));
}

#[test]
fn a_field_that_there_is_not_is_refused_by_its_name() {
    for wrong in ["[cluster]\nwokers = 2\n", "[[load.mix]]\nsise = 1\n", "[other]\n", "[faults]\nevery = 1\n"]
    {
        let error = parse(&format!("{LEAST}{wrong}")).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        let field = wrong.split(['\n', '[', ']']).rfind(|l| !l.is_empty()).unwrap();
        let field = field.split(" =").next().unwrap();
        assert!(source.contains("unknown field") && source.contains(field), "{field}: {source}");
    }
}

#[test]
fn what_cannot_be_done_is_told_all_at_once() {
    let text = "about = \"x\"\n[[load]]\nname = \"a\"\njobs = 1\nrate = 2\n[[load]]\nname = \"b\"\nrate = 2\n\
                [[check]]\nfigure = \"f\"\n[[check]]\nfigure = \"g\"\narm = \"none\"\nat_most = 1\n\
                [faults]\nevery_s = 1\nwhat = [\"kill-worker\"]\n";
    let error = parse(text).unwrap_err().to_string();
    for part in [
        "load a: give jobs, or",
        "load b: give jobs, or",
        "check f: give",
        "check f: there",
        "no arm none",
        "faults:",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let text = format!("{LEAST}plan = 1\n[cluster]\nworkers = 0\ncoordinators = 0\nscale = nan\n");
    let error = parse(&text.replace("plan = 1\n", "")).unwrap_err().to_string();
    for part in ["workers: at least 1", "coordinators: at least 1", "scale = NaN"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(parse("about = \"x\"\n").unwrap_err().to_string().contains("there is no load"));
}

#[test]
fn a_figure_that_no_run_has_is_refused_with_one_that_it_has() {
    let check = |figure: &str| parse(&format!("{LEAST}[[check]]\nfigure = \"{figure}\"\nat_most = 1\n"));
    for known in [
        "jobs",
        "uncompared",
        "job.complete_s.p95",
        "job.cpu_us_a_question.worker",
        "job.peak_bytes_a_node",
        "growth.threads.worker-2",
        "rise.memory.redis",
        "memory_mib.rabbitmq",
    ] {
        assert!(check(known).is_ok(), "{known}");
    }
    for (wrong, meant) in [
        ("job.complet_s.max", "job.complete_s.max"),
        ("other.complete_s.max", "job.complete_s.max"),
        ("growth.memory.worker-3", "growth.memory.worker-"),
    ] {
        let error = check(wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("{wrong}: there is no such figure; is it {meant}")), "{error}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_those_there_are() {
    let error = Scenario::open("headlines").unwrap_err().to_string();
    assert!(error.contains("headline, warm, steady"), "{error}");
    assert!(matches!(Scenario::open("mine.toml"), Err(Error::Read(..))));
}

#[test]
fn an_arm_is_the_scenario_but_for_what_it_says() {
    let text = format!(
        "{LEAST}[cluster]\nworkers = 3\nscale = 0.5\nsettings = [\"a=1\"]\n\
         [[arm]]\nname = \"one\"\ncluster = {{ workers = 1, settings = [\"b=2\"] }}\n\
         [[arm]]\nname = \"other\"\n[[arm.load]]\nname = \"own\"\nrate = 2\nseconds = 3\n"
    );
    let scenario = parse(&text).unwrap();
    let arms = scenario.all_arms();
    let shapes: Vec<Shape> = arms.iter().map(|arm| scenario.shape(arm)).collect();
    assert_eq!((shapes[0].workers, shapes[1].workers, shapes[0].scale), (1, 3, 0.5));
    assert_eq!(shapes[0].settings, ["a=1", "b=2"]);
    assert_eq!(arms[0].loads[0].name, "job");
    assert_eq!(arms[1].loads[0].pace(), Ok(Pace::Open { rate: 2.0, seconds: 3.0 }));
}

#[test]
fn a_run_can_be_made_smaller() {
    let open =
        "[[load]]\nname = \"open\"\nrate = 2\nseconds = 300\n[[arm]]\nname = \"a\"\n[[arm]]\nname = \"b\"\n";
    let scenario = parse(&format!("{LEAST}{open}")).unwrap();
    let by = Smaller {
        size: Some(0.1),
        seconds: Some(5.0),
        rate: Some(4.0),
        arms: vec!["b".into()],
        ..Smaller::default()
    };
    assert!(!by.is_whole() && Smaller { rate: Some(1.0), ..Smaller::default() }.is_whole());
    let small = scenario.smaller(&by);
    let arms = small.all_arms();
    assert_eq!((arms.len(), arms[0].name.as_str()), (1, "b"));
    assert!((small.shape(&arms[0]).scale - 0.1).abs() < 1e-9);
    assert_eq!(arms[0].loads[1].pace(), Ok(Pace::Open { rate: 4.0, seconds: 5.0 }));
    assert_eq!(arms[0].loads[0].pace(), Ok(Pace::AtOnce(1)));
}

#[test]
fn a_shorter_run_breaks_things_sooner() {
    let faults = "[faults]\nevery_s = 60\nfor_s = 20\nwhat = [\"kill-worker\"]\n";
    let every = |seconds: f64| {
        let by = Smaller { seconds: Some(seconds), ..Smaller::default() };
        let faults = parse(&format!("{LEAST}{faults}")).unwrap().smaller(&by).faults.unwrap();
        (faults.every_s, faults.for_s)
    };
    assert_eq!([every(300.0), every(30.0), every(5.0)], [(60.0, 20.0), (15.0, 7.5), (10.0, 5.0)]);
}

#[test]
fn lines_are_broken_by_relays_and_otherwise_there_are_none() {
    let with = |faults: &str| {
        let scenario = parse(&format!("{LEAST}{faults}")).unwrap();
        scenario.shape(&scenario.all_arms()[0]).plan(Path::new("kudzu"), scenario.faults.as_ref())
    };
    assert!(!with("").relays && with("").calm);
    assert!(!with("[faults]\nevery_s = 60\nwhat = [\"kill-worker\"]\n").relays);
    assert!(with("[faults]\nevery_s = 60\nwhat = [\"kill-worker\", \"cut-worker\"]\n").relays);
}
