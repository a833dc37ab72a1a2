//! A client of rmcp that does what its standard input says, a line of JSON for each.
//!
//! `gatelodge-test-client URL TOKEN`; see `../go/official` for the commands.
use std::io::BufRead;
use std::time::Duration;

use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::ServiceExt;
use serde_json::{json, Value};

type Session = RunningService<RoleClient, ()>;

async fn connect(url: &str, token: &str) -> Result<Session, String> {
    let config = StreamableHttpClientTransportConfig::with_uri(url.to_string()).auth_header(token);
    let transport = StreamableHttpClientTransport::from_config(config);
    ().serve(transport).await.map_err(|error| error.to_string())
}

async fn call(session: &Session, asked: &Value) -> Result<Value, String> {
    let name = asked["tool"].as_str().unwrap_or_default().to_string();
    let mut params = CallToolRequestParams::new(name);
    params.arguments = asked["arguments"].as_object().cloned();
    let result = session.call_tool(params).await.map_err(|error| error.to_string())?;
    Ok(json!({ "text": serde_json::to_string(&result.content).unwrap() }))
}

async fn answer(session: &Session, asked: &Value) -> Result<Value, String> {
    match asked["do"].as_str() {
        Some("list") => {
            let tools = session.list_all_tools().await.map_err(|error| error.to_string())?;
            Ok(json!({ "names": tools.iter().map(|tool| &tool.name).collect::<Vec<_>>() }))
        }
        Some("call") => call(session, asked).await,
        Some("cancel") => {
            // Dropping the future is how Rust gives up.
            let after = Duration::from_millis(asked["after"].as_u64().unwrap_or(0));
            let given = tokio::time::timeout(after, call(session, asked)).await;
            given.unwrap_or_else(|_| Err("given up".to_string()))
        }
        other => Err(format!("no such command: {other:?}")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let mut session: Option<Session> = None;
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = send.send(line.unwrap());
        }
    });
    while let Some(line) = lines.recv().await {
        let asked: Value = serde_json::from_str(&line).unwrap();
        let limit = Duration::from_secs(20);
        let told = match asked["do"].as_str() {
            Some("quit") => break,
            Some("connect") => {
                if let Some(old) = session.take() {
                    let _ = tokio::time::timeout(limit, old.cancel()).await;
                }
                match tokio::time::timeout(limit, connect(&words[1], &words[2])).await {
                    Ok(Ok(made)) => {
                        session = Some(made);
                        Ok(json!({}))
                    }
                    Ok(Err(error)) => Err(error),
                    Err(_) => Err("no answer in time".to_string()),
                }
            }
            _ => match &session {
                Some(session) => tokio::time::timeout(limit, answer(session, &asked))
                    .await
                    .unwrap_or_else(|_| Err("no answer in time".to_string())),
                None => Err("not connected".to_string()),
            },
        };
        println!("{}", told.unwrap_or_else(|error| json!({ "error": error })));
    }
    if let Some(session) = session {
        let _ = tokio::time::timeout(Duration::from_secs(5), session.cancel()).await;
    }
}
