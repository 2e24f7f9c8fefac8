//! Tokens that hold, and those that do not: the examples of RFC 7515 and RFC 8037, and what others have fallen for.

use super::*;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// RFC 7515, A.2.
const RSA_KEY: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7515, A.3.
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// When the tokens here are judged.
const TODAY: Duration = Duration::from_secs(1_300_000_000);

fn set(keys: &[&str]) -> Keys {
    Keys::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).expect("keys")
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("32 bytes")
}

fn own_key(id: &str) -> String {
    let x = BASE64.encode(pair().public_key());
    format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"{id}","x":"{x}"}}"#)
}

fn issuer() -> Issuer {
    let demands = Demands {
        issuer: "https://idp.test".to_owned(),
        audiences: vec!["kafka".to_owned()],
        principal_claim: "sub".to_owned(),
    };
    Issuer { keys: set(&[&own_key("k1"), RSA_KEY]), demands }
}

fn signed(header: &str, claims: &str) -> Vec<u8> {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = BASE64.encode(pair().sign(signed.as_bytes()));
    format!("{signed}.{signature}").into_bytes()
}

fn judged(claims: &str) -> Result<Accepted, Refused> {
    issuer().judge(&signed(r#"{"alg":"EdDSA","kid":"k1"}"#, claims), TODAY)
}

#[test]
fn the_examples_of_the_rfcs_hold() {
    for (key, token) in [(RSA_KEY, RSA_TOKEN), (EC_KEY, EC_TOKEN)] {
        let claims = set(&[own_key("other").as_str(), key]).verified(token.as_bytes()).expect("it holds");
        assert_eq!(claims["iss"], "joe");
        let tampered = token.replacen(".eyJpc3MiOiJqb2Ui", ".eyJpc3MiOiJqb2Uj", 1);
        assert_eq!(set(&[key]).verified(tampered.as_bytes()), Err(Refused::Signature));
    }
}

#[test]
fn a_token_says_whose_it_is_and_how_long_it_holds() {
    let good = r#"{"iss":"https://idp.test","aud":"kafka","sub":"alice","exp":1300000060}"#;
    assert_eq!(judged(good), Ok(Accepted { user: "alice".into(), valid_for: Duration::from_secs(60) }));
    let among = good.replace(r#""kafka""#, r#"["orders","kafka"]"#);
    assert!(judged(&among).is_ok());
    let claim = |name: &str| Err(Refused::Claim(name.to_owned()));
    for (from, to, refused) in [
        ("1300000060", "1299999971", None),
        ("1300000060", "1299999970", Some(Err(Refused::Expired(Duration::from_secs(30))))),
        ("1300000060", "\"1400000000\"", Some(claim("exp"))),
        ("1300000060", "-1", Some(claim("exp"))),
        (",\"exp\":1300000060", "", Some(claim("exp"))),
        ("}", ",\"nbf\":1300000030}", None),
        ("}", ",\"nbf\":1300000031}", Some(Err(Refused::NotYet(Duration::from_secs(31))))),
        ("}", ",\"nbf\":\"0\"}", Some(claim("nbf"))),
        ("https://idp.test", "https://idp.test/", Some(claim("iss"))),
        ("\"aud\":\"kafka\",", "", Some(claim("aud"))),
        ("\"kafka\"", "\"kafkas\"", Some(claim("aud"))),
        ("\"kafka\"", "[[\"kafka\"]]", Some(claim("aud"))),
        ("\"alice\"", "\"\"", Some(claim("sub"))),
        ("\"alice\"", "7", Some(claim("sub"))),
    ] {
        let judged = judged(&good.replacen(from, to, 1));
        match refused {
            None => assert!(judged.is_ok(), "{to}: {judged:?}"),
            Some(refused) => assert_eq!(judged, refused, "{to}"),
        }
    }
}

#[test]
fn the_keys_decide_how_a_token_is_signed_and_not_the_token() {
    let good = r#"{"iss":"https://idp.test","aud":"kafka","sub":"alice","exp":1300000060}"#;
    let judged = |header: &str| issuer().judge(&signed(header, good), TODAY);
    assert!(judged(r#"{"alg":"EdDSA"}"#).is_ok(), "without a name every key is tried");
    for (header, id, algorithm) in [
        (r#"{"alg":"none"}"#, "", "none"),
        (r#"{"alg":"HS256","kid":"k1"}"#, "k1", "HS256"),
        (r#"{"alg":"EdDSA","kid":"k2"}"#, "k2", "EdDSA"),
        (r#"{"alg":"ES256","kid":"k1"}"#, "k1", "ES256"),
    ] {
        let unknown = Refused::UnknownKey { id: id.to_owned(), algorithm: algorithm.to_owned() };
        assert_eq!(judged(header), Err(unknown));
        assert!(issuer().keys.lack_key_of(&signed(header, good)));
    }
    assert_eq!(judged(r#"{"alg":"RS256"}"#), Err(Refused::Signature));
    assert!(matches!(judged(r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#), Err(Refused::Malformed(_))));
    let mut unsigned = signed(r#"{"alg":"EdDSA"}"#, good);
    unsigned.truncate(unsigned.iter().rposition(|b| *b == b'.').expect("two dots") + 1);
    assert_eq!(issuer().judge(&unsigned, TODAY), Err(Refused::Signature));
}

#[test]
fn only_keys_that_can_verify_are_taken() {
    let small = format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, BASE64.encode([255; 255]));
    let symmetric = r#"{"kty":"oct","k":"c2VjcmV0"}"#;
    let encrypting = own_key("k").replace("sig", "enc");
    for useless in [small.as_str(), symmetric, &encrypting, r#"{"kty":"EC","crv":"P-521"}"#, "{}", "7"] {
        let read = Keys::read(format!(r#"{{"keys":[{useless}]}}"#).as_bytes());
        assert_eq!(read.map(|keys| keys.count()), Err(NoKeys::NoneFits), "{useless}");
        assert_eq!(set(&[useless, RSA_KEY]).count(), 1);
    }
    assert!(matches!(Keys::read(b"{}"), Err(NoKeys::NotASet(_))));
    assert_eq!(format!("{:?}", issuer().keys), "2 keys");
}

proptest! {
    #[test]
    fn any_token_is_survived_and_a_changed_one_refused(at in any::<prop::sample::Index>(), to in any::<u8>(), any in prop::collection::vec(any::<u8>(), 0..100)) {
        let good = signed(r#"{"alg":"EdDSA","kid":"k1"}"#, r#"{"iss":"https://idp.test","aud":"kafka","sub":"alice","exp":1300000060}"#);
        let mut changed = good.clone();
        let at = at.index(changed.len());
        changed[at] = to;
        prop_assert_eq!(issuer().judge(&changed, TODAY).is_ok(), changed == good);
        prop_assert!(issuer().judge(&any, TODAY).is_err());
        issuer().keys.lack_key_of(&any);
        let _ = Keys::read(&any);
    }
}
