#include "cli/line_reader.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>

#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr char kStdin[] = "-";

}  // namespace

struct LineReader::Digest {
  Digest() : context(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context, EVP_sha256(), nullptr); }
  ~Digest() { EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  EVP_MD_CTX* const context;
};

LineReader::LineReader(std::FILE* file, std::string path, size_t line_bytes_max)
    : file_(file), path_(std::move(path)), line_bytes_max_(line_bytes_max), digest_(std::make_unique<Digest>()) {}

LineReader::~LineReader() {
  if (file_ != stdin) std::fclose(file_);
}

absl::StatusOr<std::unique_ptr<LineReader>> LineReader::Open(const std::string& path, size_t line_bytes_max) {
  std::FILE* const file = path == kStdin ? stdin : std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, path);
  return std::unique_ptr<LineReader>(new LineReader(file, path, line_bytes_max));
}

bool LineReader::seekable() const {
  struct stat facts {};
  return file_ != stdin && ::fstat(::fileno(file_), &facts) == 0 && S_ISREG(facts.st_mode);
}

absl::StatusOr<std::optional<std::string_view>> LineReader::Next() {
  line_.clear();
  int c = 0;
  while ((c = ::getc_unlocked(file_)) != EOF && c != '\n') {
    if (line_.size() == line_bytes_max_) {
      return absl::ResourceExhaustedError(fmt::format("it has more than {} bytes", line_bytes_max_));
    }
    line_.push_back(static_cast<char>(c));
  }
  if (c == EOF && std::ferror(file_) != 0) return ErrnoStatus(errno == 0 ? EIO : errno, path_);
  if (c == EOF && line_.empty()) return std::nullopt;
  ++line_number_;
  EVP_DigestUpdate(digest_->context, line_.data(), line_.size());
  EVP_DigestUpdate(digest_->context, "\n", 1);
  return std::string_view(line_);
}

std::string LineReader::digest() const {
  const Digest copy;
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_MD_CTX_copy_ex(copy.context, digest_->context);
  EVP_DigestFinal_ex(copy.context, bytes, &size);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace holdfast::cli
