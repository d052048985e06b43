use super::*;

fn allowed(text: &str, scope: Scope) -> bool {
    Url::parse(text).is_ok_and(|u| is_allowed_url(&u, scope))
}

/// Ways to write an address that must not be reached.
const INSIDE: [&str; 34] = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0x7f.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.1.1/",
    "http://100.100.100.200/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://①②⑦.⓪.⓪.①/",
];

#[test]
fn no_way_inside() {
    for url in INSIDE {
        assert!(!allowed(url, Scope::Public), "{url}");
    }
    for url in ["file:///etc/passwd", "gopher://x/", "ftp://x/", "data:,x", "https://u:p@example.com/"] {
        assert!(!allowed(url, Scope::Private), "{url}");
    }
    for url in ["http://example.com:22/", "http://example.com:25/", "http://example.com:53/"] {
        assert!(!allowed(url, Scope::Public), "{url}");
    }
    for url in ["https://example.com/", "http://8.8.8.8:8080/", "https://[2606:4700::1111]/"] {
        assert!(allowed(url, Scope::Public), "{url}");
    }
}

#[test]
fn a_private_endpoint_opens_no_way_to_metadata() {
    for url in ["http://127.0.0.1:8080/", "http://10.0.0.1/", "http://[::1]:9000/", "http://[fd12::1]/"] {
        assert!(allowed(url, Scope::Private), "{url}");
    }
    for url in [
        "http://169.254.169.254/",
        "http://169.254.170.2/",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://[fd00:ec2::23]/",
        "http://[fd20:ce::254]/",
        "http://[::ffff:168.63.129.16]/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
    ] {
        assert!(!allowed(url, Scope::Private), "{url}");
    }
}

#[test]
fn redirects_keep_to_their_rules() {
    let request = |url: &str, follow| {
        let mut r = Request::new(Url::parse(url).unwrap(), Limit::NONE, Duration::from_secs(1));
        r.follow = follow;
        r
    };
    let goes = |from: &str, to: &str, follow| {
        let from = Url::parse(from).unwrap();
        Url::parse(to).is_ok_and(|to| follows(&request(from.as_str(), follow), &from, &to, Scope::Public))
    };
    assert!(goes("https://a.example/", "https://a.example/x", Follow::SameHost));
    assert!(!goes("https://a.example/", "https://b.example/x", Follow::SameHost));
    assert!(!goes("https://a.example/", "https://a.example:8443/x", Follow::SameHost));
    assert!(goes("https://a.example/", "https://b.example/x", Follow::Anywhere));
    assert!(!goes("https://a.example/", "http://b.example/x", Follow::Anywhere));
    for url in INSIDE {
        assert!(!goes("http://a.example/", url, Follow::Anywhere), "{url}");
    }
}
