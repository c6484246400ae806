//! How to log in.

use super::dead_letter::base64;
use crate::config::Secret;

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `auth: {user: …, password: …}`.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// `auth: {api_key: …}`: the base64 form that Elasticsearch hands out.
    ApiKey(Secret),
    /// `auth: {bearer: …}`.
    Bearer(Secret),
}

impl Auth {
    /// The `Authorization` header, where there is one (RFC 7617, RFC 6750; `ApiKey` is Elasticsearch's own). A secret.
    pub(crate) fn authorization(&self) -> Option<String> {
        match self {
            Auth::None => None,
            Auth::Basic { user, password } => Some(format!("Basic {}", base64(format!("{user}:{}", password.expose()).as_bytes()))),
            Auth::ApiKey(key) => Some(format!("ApiKey {}", key.expose())),
            Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_into_the_header_that_the_server_expects() {
        let secret = || crate::config::Secret::new("k");
        assert_eq!(Auth::None.authorization(), None);
        assert_eq!(Auth::ApiKey(secret()).authorization().as_deref(), Some("ApiKey k"));
        assert_eq!(Auth::Bearer(secret()).authorization().as_deref(), Some("Bearer k"));
        assert_eq!(Auth::Basic { user: "u".into(), password: secret() }.authorization().as_deref(), Some("Basic dTpr"));
    }
}
