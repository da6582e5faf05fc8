#include "services/router/server_certificate.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kIssueTimeout = absl::Seconds(10);
constexpr absl::Duration kRetryMin = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(2);
// However short-lived a certificate is, auth is not asked more often.
constexpr absl::Duration kRenewMin = absl::Seconds(1);

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* p) const { Free(p); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Request = std::unique_ptr<X509_REQ, Freed<X509_REQ, X509_REQ_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>>;

std::string SslError() {
  char text[256] = "unknown";
  if (const unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(std::max(size, 0L)));
}

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Time NotAfter(const X509* certificate) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1) return absl::InfiniteFuture();
  return absl::FromTM(tm, absl::UTCTimeZone());
}

// In place of OpenSSL's own verification, so that nobody makes this process build and check chains: a client
// certificate is auth's to judge, and only when there is no password. That the client holds the leaf's key is checked
// by TLS itself.
int AcceptAnyClientCertificate(X509_STORE_CTX*, void*) {
  return 1;
}

absl::Status UseChain(SSL_CTX* context, const std::string& pem, absl::Time* not_after) {
  const Bio bio = Reader(pem);
  Certificate leaf(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return absl::InvalidArgumentError(fmt::format("server certificate is not usable: {}", SslError()));
  }
  *not_after = NotAfter(leaf.get());
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return absl::InvalidArgumentError(fmt::format("server certificate's chain is not usable: {}", SslError()));
    }
  }
  ERR_clear_error();  // the end of the file
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf())) {
    return absl::NotFoundError(fmt::format("can't read {}; check the path and its permissions", path));
  }
  return text.str();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(const std::string& chain_pem,
                                                                     const std::string& private_key_pem) {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError(SslError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // No resumption: a resumed session does not hold the client's certificate chain.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), AcceptAnyClientCertificate, nullptr);

  absl::Time not_after;
  RETURN_IF_ERROR(UseChain(context.get(), chain_pem, &not_after));
  const Bio bio = Reader(private_key_pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return absl::InvalidArgumentError(fmt::format("private key does not fit the server certificate: {}", SslError()));
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release(), not_after));
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

absl::StatusOr<KeyAndRequest> MakeKeyAndRequest() {
  const Key key(EVP_EC_gen("P-256"));
  const Request request(X509_REQ_new());
  if (key == nullptr || request == nullptr) return absl::InternalError(SslError());
  const Bio key_pem(BIO_new(BIO_s_mem()));
  const Bio request_pem(BIO_new(BIO_s_mem()));
  if (X509_REQ_set_version(request.get(), 0) != 1 || X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0 ||
      PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509_REQ(request_pem.get(), request.get()) != 1) {
    return absl::InternalError(SslError());
  }
  return KeyAndRequest{.private_key_pem = Contents(key_pem.get()), .request_pem = Contents(request_pem.get())};
}

absl::StatusOr<std::unique_ptr<ServerCertificate>> ServerCertificate::FromFiles(const std::string& certificate_file,
                                                                                const std::string& private_key_file) {
  ASSIGN_OR_RETURN(const std::string chain, ReadFile(certificate_file));
  ASSIGN_OR_RETURN(const std::string key, ReadFile(private_key_file));
  auto context = TlsContext::Create(chain, key);
  if (!context.ok()) return Annotate(context.status(), fmt::format("{} and {}", certificate_file, private_key_file));
  if ((*context)->not_after() < absl::Now()) {
    return absl::FailedPreconditionError(fmt::format("the certificate in {} expired at {}; renew it, or set the clock",
                                                     certificate_file, absl::FormatTime((*context)->not_after())));
  }
  auto certificate = std::unique_ptr<ServerCertificate>(new ServerCertificate());
  {
    absl::MutexLock lock(&certificate->mutex_);
    certificate->context_ = *std::move(context);
  }
  return certificate;
}

std::unique_ptr<ServerCertificate> ServerCertificate::FromAuth(rpc::Channels* auth) {
  auto certificate = std::unique_ptr<ServerCertificate>(new ServerCertificate());
  certificate->auth_ = auth;
  return certificate;
}

ServerCertificate::~ServerCertificate() {
  Stop();
}

void ServerCertificate::Start(OnFirst on_first) {
  if (auth_ == nullptr) {
    on_first();
    return;
  }
  thread_ = std::thread([this, on_first = std::move(on_first)] { RenewLoop(on_first); });
}

void ServerCertificate::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const TlsContext> ServerCertificate::context() const {
  absl::MutexLock lock(&mutex_);
  return context_;
}

bool ServerCertificate::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stopped_), duration);
}

void ServerCertificate::RenewLoop(const OnFirst& on_first) {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  bool first = true;
  std::string last_error;
  absl::Duration wait;
  do {
    const absl::StatusOr<absl::Duration> renew_after = Renew();
    if (!renew_after.ok()) {
      const std::string error = Text(renew_after.status());
      if (error != last_error) spdlog::warn("no server certificate from auth, trying on reason=\"{}\"", error);
      last_error = error;
      wait = backoff.Next();
      continue;
    }
    backoff.Reset();
    last_error.clear();
    wait = std::max(*renew_after, kRenewMin);
    spdlog::info("server certificate issued not_after={} renew_after={}", absl::FormatTime(context()->not_after()),
                 absl::FormatDuration(wait));
    if (first) on_first();
    first = false;
  } while (Sleep(wait));
}

absl::StatusOr<absl::Duration> ServerCertificate::Renew() {
  ASSIGN_OR_RETURN(const KeyAndRequest made, MakeKeyAndRequest());
  auto stub = auth::v1::Certificates::NewStub(auth_->Pick());
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kIssueTimeout);
  auth::v1::IssueServerCertificateRequest request;
  request.set_certificate_signing_request_pem(made.request_pem);
  auth::v1::IssueServerCertificateResponse response;
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::CancelledError("stopped");
    call_ = &context;
  }
  const grpc::Status status = stub->IssueServerCertificate(&context, request, &response);
  {
    absl::MutexLock lock(&mutex_);
    call_ = nullptr;
  }
  RETURN_IF_ERROR(rpc::FromGrpc(status));
  ASSIGN_OR_RETURN(auto tls, TlsContext::Create(response.certificate_chain_pem(), made.private_key_pem));
  const absl::Duration renew_after =
      absl::Seconds(response.renew_after().seconds()) + absl::Nanoseconds(response.renew_after().nanos());
  absl::MutexLock lock(&mutex_);
  context_ = std::move(tls);
  return renew_after;
}

}  // namespace holdfast::router
