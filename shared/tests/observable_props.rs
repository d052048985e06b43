//! Observables, whatever comes in: nothing panics, and what is written is read back.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::net::{Ipv4Addr, Ipv6Addr};

use kudzu_shared::config::{Process, Vars as _};
use kudzu_shared::escape;
use kudzu_shared::observable::defang::{defang, refang};
use kudzu_shared::observable::psl::registrable;
use kudzu_shared::observable::{Kind, Name, Observable};
use proptest::collection::vec;
use proptest::prelude::*;

/// So many cases, or as many as `make fuzz` wants.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = Process.get("PROPTEST_CASES").is_some();
    if wanted { ProptestConfig::default() } else { ProptestConfig::with_cases(usual) }
}

/// Any legal wire name: labels of any octets.
fn wire_name() -> impl Strategy<Value = Name> {
    vec(vec(any::<u8>(), 1..20), 1..8).prop_map(|labels| {
        Name::from_labels(labels.iter().map(Vec::as_slice)).expect("at most 7 * 20 + 1 octets")
    })
}

/// Names that can be typed: any octets, but a top-level domain in letters.
fn typed_name() -> impl Strategy<Value = Name> {
    (vec(vec(any::<u8>(), 1..20), 1..6), "[a-z]{2,10}").prop_map(|(labels, top)| {
        let labels = labels.iter().map(Vec::as_slice).chain([top.as_bytes()]);
        Name::from_labels(labels).expect("at most 5 * 20 + 12 octets")
    })
}

fn observable() -> impl Strategy<Value = Observable> {
    let wire = |kind, len| vec(any::<u8>(), len).prop_map(move |w| Observable::from_wire(kind, &w));
    prop_oneof![
        typed_name().prop_map(|n| Some(Observable::from_name(&n))),
        any::<u32>().prop_map(|a| Some(Observable::from_ip(Ipv4Addr::from(a).into()))),
        any::<u128>().prop_map(|a| Some(Observable::from_ip(Ipv6Addr::from(a).into()))),
        (any::<u32>(), 0u8..=32).prop_map(|(a, l)| Observable::from_netblock(Ipv4Addr::from(a).into(), l)),
        (any::<u128>(), 0u8..=128).prop_map(|(a, l)| Observable::from_netblock(Ipv6Addr::from(a).into(), l)),
        any::<u32>().prop_map(|n| Some(Observable::from_asn(n))),
        wire(Kind::File, 16),
        wire(Kind::File, 32),
        wire(Kind::X509Certificate, 20),
        wire(Kind::X509Certificate, 32),
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}@[a-z]{1,9}\\.[a-z]{2,5}".prop_map(|t| Observable::parse_as(
            Kind::EmailAddr,
            &t
        )
        .ok()),
        url().prop_map(|t| Observable::parse_as(Kind::Url, &t).ok()),
        "\\PC{1,40}".prop_map(|t| Observable::from_identity(&t)),
    ]
    .prop_filter_map("not every text is one", |o| o)
}

/// URLs with what is awkward for refanging in path and query.
fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z]{1,9}(\\.[a-z]{2,5}){1,3}".boxed(),
        any::<u32>().prop_map(|a| Ipv4Addr::from(a).to_string()).boxed(),
        any::<u128>().prop_map(|a| format!("[{}]", Ipv6Addr::from(a))).boxed(),
    ];
    let awkward = "([a-z./?&=:@\\[\\]{}()\\\\-]|\\[\\.\\]|\\(\\.\\)|\\[dot\\]|\\(at\\)|\\[:\\]//){0,12}";
    let scheme = prop_oneof![Just("http"), Just("https"), Just("ftp"), Just("wss")];
    let port = prop_oneof![Just(String::new()), any::<u16>().prop_map(|p| format!(":{p}"))];
    (scheme, host, port, awkward).prop_map(|(s, h, p, t)| format!("{s}://{h}{p}/{t}"))
}

/// Pieces of all that the parser knows, put together at random.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\](){}<>.:@/\\\\ %*-]".boxed(),
        "[a-z0-9]{1,5}".boxed(),
        prop::sample::select(vec![
            "hxxp",
            "://",
            "[.]",
            " dot ",
            "[at]",
            "AS",
            "::",
            "/24",
            "sha256:",
            "cert:",
            "identity:",
            "xn--",
            "\\046",
            "．",
            "。",
            "ß",
            "\u{202e}",
            "\u{200d}",
            "0x",
            "[:]//",
            "ffff:",
            "%25",
            "mailto:",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        "\\PC".boxed(),
    ];
    vec(piece, 0..12).prop_map(|p| p.concat())
}

/// What holds for every text, accepted or not.
fn check(text: &str) {
    refang(text);
    for result in
        [Observable::parse(text)].into_iter().chain(Kind::ALL.map(|k| Observable::parse_as(k, text)))
    {
        match result {
            Ok(read) => {
                assert_eq!(Observable::from_wire(read.kind(), read.wire()).as_ref(), Some(&read));
                read.special_purpose();
                read.host();
                read.id();
                defang(&read);
            }
            Err(error) => {
                assert!(error.input().chars().count() <= 80);
                assert!(!error.to_string().chars().any(escape::is_hidden), "{error:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,60}") {
        check(&text);
    }

    #[test]
    fn any_mixture_is_read_or_refused(text in soup()) {
        check(&text);
    }

    #[test]
    fn any_octets_are_read_or_refused(line in vec(any::<u8>(), 0..80)) {
        let _ = Observable::parse_bytes(&line);
    }

    #[test]
    fn names_survive_their_text(name in wire_name()) {
        prop_assert_eq!(Name::from_text(&name.to_string()), Some(name.clone()));
        prop_assert_eq!(Name::from_wire(name.wire()), Some(name.clone()));
        let text = name.to_string();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*.\\".contains(&b)));
    }

    #[test]
    fn what_is_displayed_is_read_as_its_kind(item in observable()) {
        // A mailbox may have `{.}` in it, which reads as a dot; its defanged form keeps it.
        let dotted = |c: char| "[](){}<>".contains(c);
        prop_assume!(item.kind() != Kind::EmailAddr || !item.to_string().contains(dotted));
        prop_assert_eq!(Observable::parse_as(item.kind(), &item.to_string()), Ok(item.clone()));
        prop_assert_eq!(Observable::parse(&item.to_input()), Ok(item));
    }

    #[test]
    fn what_is_defanged_is_read_back(item in observable()) {
        let armed = matches!(
            item.kind(),
            Kind::DomainName | Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::Netblock | Kind::EmailAddr | Kind::Url
        );
        if armed {
            prop_assert_eq!(Observable::parse(&defang(&item)), Ok(item));
        }
    }

    #[test]
    fn parsing_is_idempotent(text in soup()) {
        if let Ok(read) = Observable::parse(&text) {
            let dotted = |c: char| "[](){}<>".contains(c);
            prop_assume!(read.kind() != Kind::EmailAddr || !read.to_string().contains(dotted));
            prop_assert_eq!(Observable::parse(&read.to_input()), Ok(read));
        }
    }

    #[test]
    fn registrable_is_one_label_over_the_suffix(name in wire_name()) {
        if let Some(domain) = registrable(&name) {
            prop_assert!(name.is_within(&domain));
            prop_assert_eq!(registrable(&domain), Some(domain.clone()));
            let suffix = domain.parent().expect("not the root");
            prop_assert_eq!(registrable(&suffix), None);
        }
    }

    #[test]
    fn escaped_text_is_harmless(text in "(?s).{0,60}") {
        prop_assert!(!escape::terminal(&text).chars().any(escape::is_hidden));
        prop_assert_eq!(escape::terminal(&text), escape::Escaped(&text).to_string());
        let cell = escape::csv_cell(&text);
        prop_assert!(!cell.starts_with(['=', '+', '-', '@']));
        prop_assert!(escape::shorten(&text, 20).chars().count() <= 20);
    }
}
