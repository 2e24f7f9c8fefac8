//! How a handshake ends, and what it is called when it fails.

use super::verify;
use crate::limits;
use rustls::{AlertDescription, CertificateError, Error};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Which side of the proxy a handshake is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leg {
    Client,
    Upstream,
}

impl Leg {
    /// The value of the label `leg`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        }
    }
}

/// A handshake that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    kind: Kind,
    what: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    TimedOut,
    Closed,
    NotTls,
    NoCertificate,
    CertificateExpired,
    CertificateUnknownIssuer,
    CertificateWrongHost,
    CertificateInvalid,
    Incompatible,
    Refused,
    Misbehaved,
}

impl Failure {
    /// The value of the label `cause`.
    pub(crate) const fn label(&self) -> &'static str {
        match self.kind {
            Kind::TimedOut => "timeout",
            Kind::Closed => "closed",
            Kind::NotTls => "not_tls",
            Kind::NoCertificate => "no_certificate",
            Kind::CertificateExpired => "certificate_expired",
            Kind::CertificateUnknownIssuer => "certificate_unknown_issuer",
            Kind::CertificateWrongHost => "certificate_wrong_host",
            Kind::CertificateInvalid => "certificate_invalid",
            Kind::Incompatible => "incompatible",
            Kind::Refused => "refused_by_peer",
            Kind::Misbehaved => "misbehaved",
        }
    }

    /// Whether it took longer than it may.
    pub(crate) fn is_late(&self) -> bool {
        self.kind == Kind::TimedOut
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        Self { kind: Kind::TimedOut, what: format!("it was not over after {after:?}") }
    }

    /// There is no name that a certificate could be for.
    pub(super) fn no_name(host: &str) -> Self {
        Self { kind: Kind::CertificateWrongHost, what: format!("{host:?} is no name that a certificate could be for") }
    }

    pub(super) fn of(error: &io::Error, refused: Option<String>) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            let eof = error.kind() == io::ErrorKind::UnexpectedEof;
            let what = if eof { "the other side closed the connection".to_owned() } else { error.to_string() };
            return Self { kind: Kind::Closed, what };
        };
        let what = match (tls, refused) {
            (Error::InvalidMessage(_), _) => format!("the other side does not speak TLS ({tls})"),
            (Error::AlertReceived(alert), _) => format!("the other side refused: {}", in_words(*alert)),
            (Error::InvalidCertificate(CertificateError::Other(why)), Some(subject))
                if is_authority(&why.0.to_string()) =>
            {
                format!("the certificate of {subject} is an authority's: it signs others and is shown by nobody")
            }
            (Error::InvalidCertificate(why), Some(subject)) => format!("the certificate of {subject}: {why}"),
            _ => tls.to_string(),
        };
        Self { kind: kind(tls), what }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS handshake: {}", self.what)
    }
}

impl std::error::Error for Failure {}

/// Whether webpki says that a server or client shows the certificate of an authority, as `openssl req -x509` makes them.
fn is_authority(why: &str) -> bool {
    why.contains("CaUsedAsEndEntity")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the errors are rustls's, which may add some")]
fn kind(error: &Error) -> Kind {
    use CertificateError as C;
    match error {
        Error::InvalidMessage(_) => Kind::NotTls,
        Error::NoCertificatesPresented => Kind::NoCertificate,
        Error::AlertReceived(_) => Kind::Refused,
        Error::PeerIncompatible(_) => Kind::Incompatible,
        Error::InvalidCertificate(why) => match why {
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
                Kind::CertificateExpired
            }
            C::UnknownIssuer => Kind::CertificateUnknownIssuer,
            C::NotValidForName | C::NotValidForNameContext { .. } => Kind::CertificateWrongHost,
            _ => Kind::CertificateInvalid,
        },
        _ => Kind::Misbehaved,
    }
}

/// What the other side means by the alerts that operators meet.
#[expect(clippy::wildcard_enum_match_arm, reason = "there are many alerts, and the rest say it themselves")]
fn in_words(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => "it does not know who signed our certificate",
        AlertDescription::CertificateExpired => "our certificate has expired for it",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => "it does not accept our certificate",
        AlertDescription::CertificateRequired => "it wants a client certificate",
        AlertDescription::ProtocolVersion => "it has no version of TLS in common with us",
        AlertDescription::HandshakeFailure => "it has no cipher suite in common with us, or wants a certificate",
        other => return format!("{other:?}"),
    };
    format!("{meaning} ({alert:?})")
}

/// Sees a handshake through. Where it fails, the alert that says why is given the time to arrive.
pub(super) async fn handshake<T, S>(
    mut shaking: impl Future<Output = Result<T, (io::Error, S)>> + Unpin,
) -> Result<T, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (shaken, refused) = poll_fn(|cx| {
        let polled = Pin::new(&mut shaking).poll(cx);
        let refused = verify::refused();
        polled.map(|shaken| (shaken, refused))
    })
    .await;
    match shaken {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            see_off_within(stream).await;
            Err(Failure::of(&error, refused))
        }
    }
}

/// Gives an alert the time to arrive. Whether the other side takes it or not: it is over.
pub(super) async fn see_off_within<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let _ = tokio::time::timeout(limits::ALERT_LINGER, see_off(stream)).await;
}

/// Closing a socket that holds unread bytes would send RST, which destroys the alert on its way.
async fn see_off<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut thrown_away = [0; 1024];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}
