#include "lib/mqtt/client.h"

#include "lib/mqtt/connection.h"

namespace holdfast::mqtt {

std::string_view Name(Stage stage) {
  switch (stage) {
    case Stage::kResolving:
      return "resolving";
    case Stage::kTcp:
      return "connecting";
    case Stage::kTls:
      return "TLS handshake";
    case Stage::kLogin:
      return "logging in";
    case Stage::kConnected:
      return "connected";
  }
  return "?";
}

Client::Client(asio::io_context& io, Options options, Handler* handler)
    : connection_(std::make_shared<Connection>(io, std::move(options), handler)) {}
Client::~Client() {
  connection_->Detach();
}
void Client::Start() {
  connection_->Start();
}
std::string* Client::out() {
  return connection_->out();
}
void Client::Flush() {
  connection_->Flush();
}
size_t Client::unsent_bytes() const {
  return connection_->unsent_bytes();
}
void Client::DeferAck() {
  connection_->DeferAck();
}
void Client::Ack(uint16_t packet_id) {
  connection_->Ack(packet_id);
}
void Client::Ping() {
  connection_->Ping();
}
void Client::Close() {
  connection_->Close();
}
bool Client::connected() const {
  return connection_->connected();
}

}  // namespace holdfast::mqtt
