//! What a URL names: one Redis, the sentinels of one, or a Redis Cluster.

use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisError};
use url::Url;

/// Where sentinels and the nodes of a cluster listen where the URL does not say.
const SENTINEL: u16 = 26379;
const NODE: u16 = 6379;

/// Why a URL names no Redis. No text quotes the URL: it holds a password.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum UriError {
    /// No scheme, or another one.
    #[error(
        "is no URL of Redis: write redis://HOST:PORT/DB, redis-sentinel://HOST:PORT,HOST:PORT/MASTER or \
         redis-cluster://HOST:PORT,HOST:PORT, each also with rediss for TLS"
    )]
    Scheme,
    /// The driver cannot read what names one server.
    #[error("is no URL of one Redis: write redis://USER:PASSWORD@HOST:PORT/DB, or rediss://")]
    One(#[source] RedisError),
    /// Commas, but one server.
    #[error("names several hosts: write redis-sentinel:// or redis-cluster:// before them")]
    Several,
    /// A host or port that is none, or a password with the signs of a URL in it.
    #[error(
        "has a host that is none: write HOST:PORT, [ADDRESS]:PORT for IPv6, commas between hosts, and \
         in a password %40 for @, %2F for /, %3F for ?, %23 for #"
    )]
    Host,
    /// Sentinels of what?
    #[error("names no master: write redis-sentinel://HOST:PORT,HOST:PORT/MASTER, as the sentinels call it")]
    Master,
    /// A database that is no number.
    #[error("has a database that is no number: write redis-sentinel://HOST:PORT/MASTER/DB")]
    Db,
    /// A cluster has no databases.
    #[error("has something after the hosts: write redis-cluster://HOST:PORT,HOST:PORT")]
    Cluster,
    /// Another parameter, or half of one.
    #[error(
        "has unknown parameters: write ?sentinel_password=PASSWORD, or \
         ?sentinel_username=USER&sentinel_password=PASSWORD"
    )]
    Parameter,
}

/// What a URL names.
pub(crate) enum Place {
    /// One server.
    One(ConnectionInfo),
    /// The master that sentinels know.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        /// What they call it.
        name: String,
        /// How to connect to it, but where.
        master: ConnectionInfo,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<ConnectionInfo>),
}

impl Place {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, UriError> {
        let (scheme, rest) = url.split_once("://").ok_or(UriError::Scheme)?;
        match scheme {
            "redis" | "rediss" => one(url, rest),
            "redis-sentinel" => sentinel("redis", rest),
            "rediss-sentinel" => sentinel("rediss", rest),
            "redis-cluster" => cluster("redis", rest),
            "rediss-cluster" => cluster("rediss", rest),
            _ => Err(UriError::Scheme),
        }
    }
}

fn one(url: &str, rest: &str) -> Result<Place, UriError> {
    let (_, hosts, _) = split(rest);
    if hosts.contains(',') {
        return Err(UriError::Several);
    }
    url.into_connection_info().map(Place::One).map_err(UriError::One)
}

/// Login, hosts, and what comes after them.
fn split(rest: &str) -> (&str, &str, &str) {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    (login, hosts, tail)
}

fn sentinel(scheme: &str, rest: &str) -> Result<Place, UriError> {
    let (hosts, tail) = hosts(scheme, rest, SENTINEL)?;
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let path = path.trim_matches('/');
    let (name, db) = path.split_once('/').unwrap_or((path, "0"));
    // Sentinels take no other names.
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err(UriError::Master);
    }
    if db.parse::<u16>().is_err() {
        return Err(UriError::Db);
    }
    let mut master = hosts[0].clone();
    master.set_path(db);
    let (user, password) = login(query)?;
    let sentinels = hosts.into_iter().map(|mut url| {
        // The login of the URL is the master's.
        let set = url.set_username(user).and_then(|()| url.set_password(password));
        set.map_err(|()| UriError::Host)?;
        info(url)
    });
    let sentinels = sentinels.collect::<Result<_, _>>()?;
    Ok(Place::Sentinel { sentinels, name: name.to_owned(), master: info(master)? })
}

/// The login at the sentinels. As it stands: what is percent-encoded stays so in a URL.
fn login(query: &str) -> Result<(&str, Option<&str>), UriError> {
    let (mut user, mut password) = ("", None);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=').ok_or(UriError::Parameter)? {
            ("sentinel_username", value) => user = value,
            ("sentinel_password", value) => password = Some(value),
            _ => return Err(UriError::Parameter),
        }
    }
    if !user.is_empty() && password.is_none() { Err(UriError::Parameter) } else { Ok((user, password)) }
}

fn cluster(scheme: &str, rest: &str) -> Result<Place, UriError> {
    let (hosts, tail) = hosts(scheme, rest, NODE)?;
    if !matches!(tail, "" | "/" | "/0") {
        return Err(UriError::Cluster);
    }
    hosts.into_iter().map(info).collect::<Result<_, _>>().map(Place::Cluster)
}

/// A URL for each host, at least one, and what comes after them.
fn hosts<'a>(scheme: &str, rest: &'a str, port: u16) -> Result<(Vec<Url>, &'a str), UriError> {
    let (login, hosts, tail) = split(rest);
    let url = |host: &str| {
        let url = Url::parse(&format!("{scheme}://{login}@{host}"));
        let mut url = url.ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))?;
        if url.port().is_none() {
            url.set_port(Some(port)).ok()?;
        }
        Some(url)
    };
    let urls: Option<Vec<Url>> = hosts.split(',').map(url).collect();
    Ok((urls.ok_or(UriError::Host)?, tail))
}

fn info(url: Url) -> Result<ConnectionInfo, UriError> {
    url.into_connection_info().map_err(|_| UriError::Host)
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    /// Address, user, password and database of each.
    fn show(infos: &[ConnectionInfo]) -> Vec<String> {
        let show = |info: &ConnectionInfo| {
            let (tls, redis) = (matches!(info.addr(), ConnectionAddr::TcpTls { .. }), info.redis_settings());
            let (user, password) = (redis.username().unwrap_or("-"), redis.password().unwrap_or("-"));
            format!("{} {user} {password} {}{}", info.addr(), redis.db(), if tls { " tls" } else { "" })
        };
        infos.iter().map(show).collect()
    }

    fn parse(url: &str) -> (Vec<String>, String, Vec<String>) {
        match Place::parse(url).unwrap_or_else(|e| panic!("{url}: {e}")) {
            Place::One(info) => (show(&[info]), String::new(), Vec::new()),
            Place::Cluster(all) => (show(&all), String::new(), Vec::new()),
            Place::Sentinel { sentinels, name, master } => (show(&sentinels), name, show(&[master])),
        }
    }

    #[test]
    fn one_server_and_a_cluster_are_read() {
        let read = |url: &str| parse(url).0.join(", ");
        assert_eq!(read("redis://h"), "h:6379 - - 0");
        assert_eq!(read("rediss://u:p%40@[2001:db8::1]:7000/3"), "2001:db8::1:7000 u p@ 3 tls");
        assert_eq!(read("redis-cluster://h"), "h:6379 - - 0");
        assert_eq!(
            read("redis-cluster://u:p@h:7000,[::1],10.0.0.1:7001/"),
            "h:7000 u p 0, ::1:6379 u p 0, 10.0.0.1:7001 u p 0"
        );
        assert_eq!(read("rediss-cluster://:p%2Fw@h,i/0"), "h:6379 - p/w 0 tls, i:6379 - p/w 0 tls");
    }

    #[test]
    fn sentinels_and_their_master_have_each_their_login() {
        let (sentinels, name, master) = parse("redis-sentinel://a,b:1/mymaster");
        assert_eq!(sentinels, ["a:26379 - - 0", "b:1 - - 0"]);
        assert_eq!((name.as_str(), master[0].as_str()), ("mymaster", "a:26379 - - 0"));
        let url =
            "rediss-sentinel://u:p%2Cw@[::1]:5,[::2]/m-1.x_y/4?sentinel_username=s&sentinel_password=+%26/@=";
        let (sentinels, name, master) = parse(url);
        assert_eq!(sentinels, ["::1:5 s +&/@= 0 tls", "::2:26379 s +&/@= 0 tls"]);
        assert_eq!((name.as_str(), master[0].as_str()), ("m-1.x_y", "::1:5 u p,w 4 tls"));
        assert_eq!(parse("redis-sentinel://:p@a/m?sentinel_password=q").0, ["a:26379 - q 0"]);
    }

    #[test]
    fn what_is_wrong_says_what_to_write_and_no_password() {
        let cases = [
            ("127.0.0.1:6379 SECRET", "redis://HOST"),
            ("http://u:SECRET@h", "redis-sentinel://"),
            ("sentinel://u:SECRET@h/m", "redis-sentinel://"),
            ("redis://u:SECRET@", "redis://USER"),
            ("redis://u:SECRET@h/x", "redis://USER"),
            ("redis://u:SECRET@h:7000,i:7000", "redis-cluster://"),
            ("redis-sentinel://u:SECRET@h:1", "/MASTER"),
            ("redis-sentinel://u:SECRET@h:1/", "/MASTER"),
            ("redis-sentinel://u:SECRET@h:1/my master", "/MASTER"),
            ("redis-sentinel://u:1/SECRET@h/m", "/MASTER"),
            ("redis-sentinel://u:SECRET@h:1/m/x", "/DB"),
            ("redis-sentinel://u:SECRET@h:1/m/0/1", "/DB"),
            ("redis-sentinel://u:SECRET@h:1/m#SECRET", "/MASTER"),
            ("redis-sentinel://h/m?password=SECRET", "sentinel_password"),
            ("redis-sentinel://h/m?SECRET", "sentinel_password"),
            ("redis-sentinel://h/m?sentinel_username=SECRET", "sentinel_password"),
            ("redis-sentinel:///m", "HOST:PORT"),
            ("redis-sentinel://u:SECRET@h,/m", "HOST:PORT"),
            ("redis-cluster://u:SECRET@", "HOST:PORT"),
            ("redis-cluster://u:SECRET@h:port", "HOST:PORT"),
            ("redis-cluster://u:SECRET@h:70000", "HOST:PORT"),
            ("redis-cluster://u:SECRET@2001:db8::1", "[ADDRESS]"),
            ("redis-cluster://u:SECRET@0.0.0.0:1", "HOST:PORT"),
            ("redis-cluster://u:pa/SECRET@h", "%2F"),
            ("redis-cluster://u:SECRET@h/1", "redis-cluster://"),
            ("redis-cluster://u:SECRET@h?x=1", "redis-cluster://"),
        ];
        for (url, write) in cases {
            let Err(error) = Place::parse(url) else { panic!("{url} is read") };
            assert!(error.to_string().contains(write), "{url}: {error}");
            let debug = format!("{error:?} {error}");
            assert!(!debug.contains("SECRET"), "{debug}");
        }
    }
}
