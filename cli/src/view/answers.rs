//! Answers of `kudzu resolve`, a line each.

use std::fmt::Write as _;

use kudzu_dns::{Record, Reply, Transport, name, type_name};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::resolve::AnswerFormat;

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    /// Whose reverse name it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
    #[serde(rename = "type")]
    rtype: &'a str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<Shown>,
    #[serde(skip_serializing_if = "is_zero")]
    broken: u16,
    #[serde(skip_serializing_if = "is_zero")]
    foreign: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    ede: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<std::net::SocketAddr>,
    transport: &'static str,
    tries: u8,
    rtt_ms: Box<RawValue>,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    ttl: u32,
    data: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u16) -> bool {
    *n == 0
}

/// Appends what a reply says.
pub fn push(reply: &Reply, format: AnswerFormat, out: &mut String) {
    match format {
        AnswerFormat::Simple => reply.records.iter().for_each(|record| simple(record, out)),
        AnswerFormat::Ndjson => row(reply, out),
    }
}

fn simple(record: &Record, out: &mut String) {
    name::push_text(&record.name, out);
    if record.name.len() > 1 {
        out.push('.');
    }
    out.push(' ');
    out.push_str(&record.type_name());
    out.push(' ');
    record.push_data(out);
    out.push('\n');
}

fn row(reply: &Reply, out: &mut String) {
    let Some((name, rtype)) = &reply.question else { return };
    let shown = |record: &Record| {
        let mut data = String::new();
        record.push_data(&mut data);
        Shown { name: name::to_text(&record.name), rtype: record.type_name(), ttl: record.ttl, data }
    };
    let mut rtt = String::with_capacity(8);
    // Writing to a String never fails.
    let _ = write!(rtt, "{:.3}", reply.rtt.as_secs_f64() * 1000.0);
    let row = Row {
        name: &name::to_text(name),
        address: name::address(name),
        rtype: &type_name(*rtype),
        verdict: reply.verdict.as_str(),
        rcode: reply.rcode.map(|code| format!("{code:?}").to_uppercase()),
        records: reply.records.iter().map(shown).collect(),
        broken: reply.broken,
        foreign: reply.foreign,
        ede: reply.ede,
        server: reply.server,
        transport: transport(reply.transport),
        tries: reply.tries,
        rtt_ms: RawValue::from_string(rtt).unwrap_or_default(),
    };
    line(&row, out);
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Https => "https",
        Transport::InProcess => "none",
    }
}

fn line(row: &impl Serialize, out: &mut String) {
    // Strings and numbers always have a form.
    if let Ok(json) = serde_json::to_string(row) {
        out.push_str(&json);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use kudzu_dns::{DNSClass, Data, RecordType, ResponseCode, Verdict};

    use super::*;

    fn reply(verdict: Verdict, records: Vec<Record>) -> Reply {
        let question = Some((b"\x01a\x02<b\x00".as_slice().into(), RecordType::A));
        Reply { question, records, rcode: Some(ResponseCode::NXDomain), ..Reply::failed(0, verdict) }
    }

    #[test]
    fn one_line_each_and_nothing_hostile() {
        let owner: Box<[u8]> = b"\x01a\x02<b\x00".as_slice().into();
        let data = Data::Txt(vec![b"\x1b[31m</script>\xe2\x80\xae".as_slice().into()]);
        let record = Record { name: owner, rtype: RecordType::TXT, class: DNSClass::IN, ttl: 9, data };
        let mut out = String::new();
        push(&reply(Verdict::Found, vec![record.clone()]), AnswerFormat::Simple, &mut out);
        assert_eq!(out, "a.\\060b. TXT \"\\027[31m\\060/script\\062\\226\\128\\174\"\n");
        out.clear();
        push(&reply(Verdict::Found, vec![record]), AnswerFormat::Ndjson, &mut out);
        push(&reply(Verdict::NxDomain, vec![]), AnswerFormat::Ndjson, &mut out);
        assert!(out.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{out}");
        let rows: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(rows[0]["records"][0]["ttl"], 9);
        assert_eq!((&rows[1]["verdict"], &rows[1]["rcode"]), (&"nxdomain".into(), &"NXDOMAIN".into()));
    }
}
