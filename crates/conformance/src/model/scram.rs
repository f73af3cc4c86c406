//! The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), for the one user there is.

use super::digest::{base64, both, from_base64, hmac, sha256, stretched};
use super::{PASSWORD, USER};
use std::sync::LazyLock;

const SALT: &[u8] = b"grains of salt";
const ROUNDS: u32 = 4096;

/// The password as SCRAM uses it: slow to make, so made once.
static SALTED_PASSWORD: LazyLock<[u8; 32]> = LazyLock::new(|| stretched(PASSWORD.as_bytes(), SALT, ROUNDS));

/// An exchange that waits for the client's proof.
#[derive(Debug, Clone)]
pub(super) struct Challenge {
    client_first: String,
    nonce: String,
    /// What the client is sent.
    pub(super) server_first: String,
}

/// Reads the client's first message and asks for its proof. None if there is no such user, or no sense in it.
pub(super) fn challenge(client_first: &[u8], own_nonce: u64) -> Option<Challenge> {
    let text = std::str::from_utf8(client_first).ok()?;
    let bare = text.strip_prefix("n,,")?;
    let (user, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
    if user != USER || nonce.is_empty() {
        return None;
    }
    let nonce = format!("{nonce}{own_nonce:016x}");
    let server_first = format!("r={nonce},s={},i={ROUNDS}", base64(SALT));
    Some(Challenge { client_first: bare.to_owned(), nonce, server_first })
}

impl Challenge {
    /// Checks the client's proof, and returns the server's own. None if the client does not know the password.
    pub(super) fn verify(&self, client_final: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(client_final).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        if without_proof != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let all = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let client_key = hmac(&*SALTED_PASSWORD, b"Client Key");
        let signature = hmac(&sha256(&client_key), all.as_bytes());
        if from_base64(proof)? != both(&client_key, &signature) {
            return None;
        }
        let server_key = hmac(&*SALTED_PASSWORD, b"Server Key");
        Some(format!("v={}", base64(&hmac(&server_key, all.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proof of the example in RFC 7677, 3: with its salt and messages, the digests are these.
    #[test]
    fn the_example_of_the_standard() {
        let salted = stretched(b"pencil", &from_base64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let all = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let client_key = hmac(&salted, b"Client Key");
        let proof = both(&client_key, &hmac(&sha256(&client_key), all.as_bytes()));
        assert_eq!(base64(&proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature = hmac(&hmac(&salted, b"Server Key"), all.as_bytes());
        assert_eq!(base64(&signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
