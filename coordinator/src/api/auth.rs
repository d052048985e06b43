//! Who asks: a bearer token gives the tenant and what it may do. Nothing else in a request
//! says who somebody is.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use kudzu_shared::config::{self, Auth, Scope};
use kudzu_shared::time::{UnixSeconds, parse_time};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::hex;

/// The tenant of whoever is not asked for a token.
pub const LOCAL: &str = "local";

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name.
    pub token: String,
    /// Whose jobs it sees.
    pub tenant: String,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Whether it may do this.
    ///
    /// # Errors
    /// When the token has not the scope.
    pub fn may(&self, scope: Scope) -> Result<(), Problem> {
        let name = match scope {
            Scope::Read => "read",
            Scope::Submit => "submit",
        };
        if self.scopes.contains(&scope) { Ok(()) } else { Err(Problem::forbidden(name)) }
    }
}

/// The tokens there are.
#[derive(Debug, Clone)]
pub struct Tokens {
    auth: Auth,
    tokens: Vec<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    digest: [u8; 32],
    expires: Option<UnixSeconds>,
    caller: Caller,
}

impl Tokens {
    /// As the settings say. A token whose digest or time cannot be read, which the settings
    /// refuse, is none.
    pub fn new(auth: Auth, tokens: &BTreeMap<String, config::Token>) -> Self {
        let read = |(name, token): (&String, &config::Token)| {
            let expires = match token.expires.as_deref() {
                Some(text) => Some(parse_time(text)?),
                None => None,
            };
            let caller =
                Caller { token: name.clone(), tenant: token.tenant.clone(), scopes: token.scopes.clone() };
            Some(Known { digest: hex::decode(&token.sha256)?.try_into().ok()?, expires, caller })
        };
        Self { auth, tokens: tokens.iter().filter_map(read).collect() }
    }

    /// Whether everybody has to say who they are.
    pub fn are_asked(&self) -> bool {
        self.auth != Auth::Off
    }

    /// Who asks.
    ///
    /// # Errors
    /// When that is not known.
    pub fn caller(&self, headers: &HeaderMap, now: UnixSeconds) -> Result<Caller, Problem> {
        if self.auth == Auth::Off {
            let scopes = vec![Scope::Read, Scope::Submit];
            return Ok(Caller { token: LOCAL.into(), tenant: LOCAL.into(), scopes });
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token =
            given.and_then(|v| v.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(Problem::unauthorized)?;
        let digest: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
        let mut found = None;
        // All are compared, whichever it is.
        for known in &self.tokens {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(known);
            }
        }
        let known = found.ok_or_else(Problem::unauthorized)?;
        match known.expires {
            Some(at) if now >= at => Err(Problem::expired()),
            _ => Ok(known.caller.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn tokens() -> Tokens {
        let token = |text: &str, tenant: &str, expires: Option<&str>| config::Token {
            tenant: tenant.into(),
            sha256: hex::encode(&Sha256::digest(text)),
            scopes: vec![Scope::Read],
            expires: expires.map(String::from),
        };
        let all = [
            ("a".to_owned(), token("secret-a", "red", None)),
            ("b".to_owned(), token("secret-b", "blue", Some("2020-01-01"))),
        ];
        Tokens::new(Auth::Tokens, &all.into())
    }

    fn ask(value: &str) -> Result<Caller, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        tokens().caller(&headers, 1_700_000_000)
    }

    #[test]
    fn a_token_is_somebody() {
        let caller = ask("Bearer secret-a").unwrap();
        assert_eq!((caller.token.as_str(), caller.tenant.as_str()), ("a", "red"));
        assert!(caller.may(Scope::Read).is_ok());
        assert_eq!(caller.may(Scope::Submit).unwrap_err().status(), 403);
        assert_eq!(ask("bearer secret-a").unwrap(), caller);
    }

    #[test]
    fn whatever_else_is_nobody() {
        for odd in ["", "Bearer", "Bearer ", "Bearer secret", "Basic secret-a", "secret-a", "Bearer secret-b"]
        {
            assert_eq!(ask(odd).unwrap_err().status(), 401, "{odd}");
        }
        assert_eq!(tokens().caller(&HeaderMap::new(), 0).unwrap_err().status(), 401);
    }

    #[test]
    fn a_token_ends_at_its_time() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret-b"));
        let at = parse_time("2020-01-01").unwrap();
        assert!(tokens().caller(&headers, at - 1).is_ok());
        let expired = tokens().caller(&headers, at).unwrap_err();
        assert!(expired.status() == 401 && format!("{expired:?}").contains("expired"), "{expired:?}");
    }
}
