//! The HTTP clients: TLS by ring, proxies from the environment where a proxy can help.
//!
//! The SDK's own default client knows aws-lc alone, and its `build_https` switches proxies off; hence a client made
//! connector by connector. Link-local and loopback credential services are asked without a proxy whatever HTTP_PROXY says: a
//! proxy cannot reach them, and would be told credentials if it could.

use crate::fetch::vars::Vars;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};

/// How a client reaches the network.
#[derive(Clone)]
pub struct Http {
    /// `None`: plain HTTP only.
    pub tls: Option<TlsContext>,
    pub proxy: bool,
}

impl Http {
    /// A client for the SDK.
    pub fn client(&self) -> SharedHttpClient {
        let http = self.clone();
        Builder::new().build_with_connector_fn(move |settings, _| match settings {
            Some(settings) => http.connector(settings),
            // The SDK builds one to validate its configuration and throws it away: no need to parse roots for it.
            None => Connector::builder().build_http(),
        })
    }

    /// A single connector, for requests that are not the SDK's.
    pub fn connector(&self, settings: &HttpConnectorSettings) -> Connector {
        let proxy = if self.proxy { ProxyConfig::from_env() } else { ProxyConfig::disabled() };
        let builder = Connector::builder().connector_settings(settings.clone()).proxy_config(proxy);
        match &self.tls {
            Some(tls) => {
                builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
            }
            None => builder.build_http(),
        }
    }
}

/// The variable that sends requests through a proxy, if one is set.
pub fn proxy_variable(vars: &Vars, tls: bool) -> Option<&'static str> {
    let names = if tls {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    };
    names.into_iter().find(|name| vars.has(name))
}
