// P6: encryption at rest, as the engine does it: what lies on disk, which keys it needs, and what a wrong one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "lib/pki/file.h"
#include "services/store/engine_fixture.h"
#include "services/store/key_uses.h"

namespace holdfast::store {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kSecret = "what-nobody-may-read";

class EngineEncryptionTest : public EngineFixture {
 protected:
  EngineEncryptionTest() {
    options_.tail_cache_bytes = 0;  // Every block is read from disk.
    options_.encryption_key_file = key_file_;
  }

  static std::string ReadAll(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  // Files of the data directory in which `text` stands.
  std::vector<std::string> FilesWith(const std::string& text) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.data_dir)) {
      if (entry.is_regular_file() && ReadAll(entry.path()).find(text) != std::string::npos) {
        found.push_back(entry.path().filename().string());
      }
    }
    return found;
  }
  void UseKeys(const std::string& keys) { ASSERT_TRUE(pki::ReplaceFile(key_file_, keys, 0600).ok()); }
  std::string WhyItDoesNotOpen() {
    engine_.reset();
    const auto engine = Engine::Create(options_, metrics_.get());
    EXPECT_EQ(engine.status().code(), absl::StatusCode::kFailedPrecondition);
    const std::string text(engine.status().message());
    EXPECT_EQ(text.find('\n'), std::string::npos);
    return text;
  }
  std::vector<uint64_t> KeysInUse() {
    std::vector<uint64_t> ids;
    for (const KeyUse& use : engine_->status().key_uses) ids.push_back(use.key_id);
    return ids;
  }
  static uint64_t IdOf(const std::string& key) { return Encryption::Create({key})->key_id(); }

  // Puts what lies on disk under `from` under `to`, with a checksum that is right there.
  void MoveBlock(const std::string& from, const std::string& to) {
    std::string value = *engine_->database().Get(from);
    PutBlockChecksum(to, &value);
    WriteRaw(to, value);
  }
  void WriteRaw(const std::string& key, const std::string& value) {
    Batch batch;
    batch.Put(key, value);
    ASSERT_TRUE(engine_->database().Write(&batch).ok());
  }
  std::string KeyOf(const std::string& queue, uint64_t first_sequence) {
    return BlockKey(Register(queue, "c")->feed->queue_id(), kDefaultPriority, first_sequence);
  }

  const std::string key_file_ = dir_ / "secrets/store.key";
  const std::string old_key_ = std::string(32, 'o');
  const std::string new_key_ = std::string(32, 'n');
};

TEST_F(EngineEncryptionTest, P6_NothingStoredLiesReadableInTheDataDirectory) {
  for (const bool on : {false, true}) {
    SCOPED_TRACE(on);
    options_.encryption_key_file = on ? key_file_ : "";
    options_.data_dir = dir_ / (on ? "on" : "off");
    options_.database.write_buffer_bytes = 64 << 10;
    Open();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(Append("q", {kSecret + std::string(2000, 'x')}).ok());
      ASSERT_TRUE(Put("twin/" + std::to_string(i), kSecret).ok());
    }
    Restart();
    EXPECT_THAT(Drain("q", "c"), SizeIs(100));
    EXPECT_EQ(*Get("twin/7"), kSecret);
    ASSERT_TRUE(Commit("q", "c", 50).ok());
    engine_.reset();
    if (on) {
      EXPECT_THAT(FilesWith(kSecret), IsEmpty());
    } else {
      EXPECT_GE(FilesWith(kSecret).size(), 2u) << "a log and tables: the search finds what is there";
    }
    EXPECT_THAT(FilesWith("twin/99"), testing::Not(IsEmpty())) << "names are not encrypted";
  }
}

TEST_F(EngineEncryptionTest, KeyFileIsMadeOnceForTheOwnerOnly) {
  Open();
  struct stat info {};
  ASSERT_EQ(::stat(key_file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const std::string key = ReadAll(key_file_);
  EXPECT_EQ(key.size(), 32u);
  EXPECT_THAT(KeysInUse(), ElementsAre(IdOf(key)));
  Restart();
  EXPECT_EQ(ReadAll(key_file_), key);
}

TEST_F(EngineEncryptionTest, P6_WrongOrMissingKeySaysWhatToDoAndHarmsNothing) {
  Open();
  ASSERT_TRUE(Append("q", {"a"}).ok());
  ASSERT_TRUE(Put("k", "v").ok());
  const std::string key = ReadAll(key_file_);
  const std::string id = KeyIdText(engine_->encryption().key_id());
  UseKeys(new_key_);
  EXPECT_THAT(WhyItDoesNotOpen(), AllOf(HasSubstr(id), HasSubstr(key_file_), HasSubstr(options_.data_dir)));
  std::filesystem::remove(key_file_);
  EXPECT_THAT(WhyItDoesNotOpen(), AllOf(HasSubstr("missing"), HasSubstr(id), HasSubstr(key_file_)));
  EXPECT_FALSE(std::filesystem::exists(key_file_)) << "a new key is no replacement";
  UseKeys(key + "x");
  EXPECT_THAT(WhyItDoesNotOpen(), HasSubstr("33 bytes"));
  options_.encryption_key_file.clear();
  EXPECT_THAT(WhyItDoesNotOpen(), AllOf(HasSubstr("set [store] encryption_key_file"), HasSubstr(id)));
  options_.encryption_key_file = key_file_;
  UseKeys(key);
  Open();
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  EXPECT_EQ(*Get("k"), "v");
  EXPECT_EQ(View("q").corrupt, 0u);
}

TEST_F(EngineEncryptionTest, P6_MovedBlockDoesNotOpenAndIsCountedAsCorrupt) {
  Open();
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(Append("q", {text}).ok());
  MoveBlock(KeyOf("q", 1), KeyOf("q", 2));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a", "c"));
  EXPECT_EQ(View("q").corrupt, 1u);
  EXPECT_TRUE(Eventually([&] { return engine_->status().corrupt_records == 1; }));
  EXPECT_THAT(engine_->database().damaged_files(), SizeIs(1)) << "it is kept aside";
  EXPECT_THAT(Texts(Drain("q", "other")), ElementsAre("a", "c"));
  EXPECT_EQ(View("q").corrupt, 1u) << "counted once";
  ASSERT_TRUE(Commit("q", "c", 3).ok());
  EXPECT_EQ(View("q").lag["c"], 0u);
}

// P9
TEST_F(EngineEncryptionTest, P9_DamagedBlocksAreCountedWithOrWithoutARightChecksum) {
  Open();
  for (const char* text : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(Append("q", {text, text}).ok());
  for (const bool right_checksum : {false, true}) {
    const std::string key = KeyOf("q", right_checksum ? 3 : 7);
    std::string value = *engine_->database().Get(key);
    value.back() = static_cast<char>(value.back() ^ 1);
    if (right_checksum) PutBlockChecksum(key, &value);
    WriteRaw(key, value);
  }
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a", "a", "c", "c", "e", "e"));
  EXPECT_EQ(View("q").corrupt, 4u);
  Restart();
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a", "a", "c", "c", "e", "e"));
  EXPECT_EQ(View("q").corrupt, 4u);
}

TEST_F(EngineEncryptionTest, P6_MovedValueDoesNotOpen) {
  Open();
  ASSERT_TRUE(Put("mine", "one").ok());
  ASSERT_TRUE(Put("yours", "two").ok());
  WriteRaw(EntryKey("yours"), *engine_->database().Get(EntryKey("mine")));
  EXPECT_EQ(*Get("mine"), "one");
  EXPECT_EQ(Get("yours").status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(Put("yours", "three").ok());
  EXPECT_EQ(*Get("yours"), "three");
}

TEST_F(EngineEncryptionTest, RotatedKeyStaysUntilNothingNeedsIt) {
  std::filesystem::create_directories(dir_ / "secrets");
  UseKeys(old_key_);
  Open();
  ASSERT_TRUE(Append("q", {"old"}).ok());
  for (int i = 0; i < 5000; ++i) {  // Several steps.
    WriteJob job;
    for (int j = 0; j < 100; ++j, ++i) job.puts.push_back({"k" + std::to_string(i), kSecret, std::nullopt, 0});
    ASSERT_TRUE(Write(std::move(job)).ok());
  }
  const uint64_t revision = engine_->watch_hub().revision();
  UseKeys(new_key_ + old_key_);
  Restart();
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Append("q", {"new"}).ok());
  EXPECT_THAT(KeysInUse(), ElementsAre(IdOf(old_key_), IdOf(new_key_)));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("old", "new"));

  // Values are sealed anew by themselves, and no watcher hears of it; the old block holds the old key until it goes.
  const auto sealed_with = [&](const std::string& key) {
    return Encryption::KeyIdOf(DecodeEntry(*engine_->database().Get(EntryKey(key)))->value);
  };
  ASSERT_TRUE(Eventually([&] { return sealed_with("k0") == IdOf(new_key_) && sealed_with("k999") == IdOf(new_key_); }));
  EXPECT_EQ(engine_->watch_hub().revision(), revision);
  EXPECT_EQ(*Get("k4321"), kSecret);
  EXPECT_THAT(KeysInUse(), ElementsAre(IdOf(old_key_), IdOf(new_key_)));
  UseKeys(new_key_);
  EXPECT_THAT(WhyItDoesNotOpen(), HasSubstr(KeyIdText(IdOf(old_key_))));
  UseKeys(new_key_ + old_key_);
  Open();

  ASSERT_TRUE(Commit("q", "c", 1).ok());
  ASSERT_TRUE(Eventually([&] { return KeysInUse() == std::vector<uint64_t>{IdOf(new_key_)}; }));
  UseKeys(new_key_);
  Restart();
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("new"));
  for (const char* key : {"k0", "k2500", "k4999"}) EXPECT_EQ(*Get(key), kSecret) << key;
  EXPECT_EQ(engine_->status().corrupt_records, 0u);
}

TEST_F(EngineEncryptionTest, TurnedOnLaterOldBlocksStayAsTheyAreAndValuesAreSealed) {
  options_.encryption_key_file.clear();
  Open();
  ASSERT_TRUE(Append("q", {"plain"}).ok());
  ASSERT_TRUE(Put("k", kSecret).ok());
  const uint64_t lease = *Await<uint64_t>([&](auto done) { engine_->GrantLease(60'000, std::move(done)); });
  const uint64_t revision = *Put("leased", kSecret, std::nullopt, lease);
  EXPECT_THAT(KeysInUse(), IsEmpty());
  options_.encryption_key_file = key_file_;
  Restart();
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(Append("q", {"sealed"}).ok());
  EXPECT_THAT(KeysInUse(), ElementsAre(0u, engine_->encryption().key_id()));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("plain", "sealed"));
  ASSERT_TRUE(Eventually([&] {
    const auto encoded = engine_->database().Get(EntryKey("leased"));
    return DecodeEntry(*encoded)->sealed;
  }));
  const auto encoded = engine_->database().Get(EntryKey("leased"));
  EXPECT_EQ(DecodeEntry(*encoded)->revision, revision);
  EXPECT_EQ(DecodeEntry(*encoded)->lease_id, lease);
  EXPECT_EQ(*Get("leased"), kSecret);
  EXPECT_EQ(*Put("leased", "next", revision, lease), revision + 1);
  ASSERT_TRUE(Commit("q", "c", 1).ok());
  ASSERT_TRUE(Eventually([&] { return KeysInUse().size() == 1; }));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("sealed"));
}

// A hole says nothing of the age of what lies behind it.
TEST_F(EngineEncryptionTest, KeyOfABlockBehindAHoleIsKept) {
  std::filesystem::create_directories(dir_ / "secrets");
  UseKeys(old_key_);
  Open();
  ASSERT_TRUE(Append("q", {"lost"}).ok());
  ASSERT_TRUE(Append("q", {"old"}).ok());
  UseKeys(new_key_ + old_key_);
  Restart();
  clock_.Advance(absl::Seconds(1));
  WriteRaw(KeyOf("q", 1), "damaged");
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("old"));
  EXPECT_EQ(View("q").corrupt, 1u);
  for (int i = 0; i < 3; ++i) {
    engine_->Poke();
    (void)View("q");
  }
  UseKeys(new_key_);
  EXPECT_THAT(WhyItDoesNotOpen(), HasSubstr(KeyIdText(IdOf(old_key_))));
}

// A repair may bring an older list back, or none: it is made again from the data, before any key is judged.
TEST_F(EngineEncryptionTest, P6_ListOfKeysThatARepairLostIsMadeAgain) {
  Open();
  ASSERT_TRUE(Append("q", {"a"}).ok());
  ASSERT_TRUE(Put("k", "v").ok());
  const std::string key = ReadAll(key_file_);
  const std::string id = KeyIdText(engine_->encryption().key_id());
  engine_.reset();
  {
    Database::Options database = options_.database;
    database.directory = options_.data_dir + "/db";
    database.blocks_directory = options_.data_dir + "/blocks";
    database.damaged_directory = options_.data_dir + "/damaged";
    Batch batch;
    batch.Delete(StateKey());
    ASSERT_TRUE((*Database::Open(database))->Write(&batch).ok());
    std::ofstream(database.directory + ".repaired") << "";
  }
  std::filesystem::remove(key_file_);
  EXPECT_THAT(WhyItDoesNotOpen(), AllOf(HasSubstr("missing"), HasSubstr(id)));
  EXPECT_FALSE(std::filesystem::exists(key_file_));
  UseKeys(new_key_);
  EXPECT_THAT(WhyItDoesNotOpen(), HasSubstr(id));
  UseKeys(new_key_ + key);
  Open();
  EXPECT_THAT(KeysInUse(), ElementsAre(IdOf(key), IdOf(new_key_)));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  EXPECT_EQ(Get("k").value_or(""), "v");
  EXPECT_EQ(View("q").corrupt, 0u);
}

// What could not be sealed anew may still be wanted by whoever looks into the damaged place.
TEST_F(EngineEncryptionTest, KeyOfAValueThatDoesNotOpenIsKept) {
  std::filesystem::create_directories(dir_ / "secrets");
  UseKeys(old_key_);
  Open();
  ASSERT_TRUE(Put("a", kSecret).ok());
  ASSERT_TRUE(Put("b", kSecret).ok());
  std::string value = *engine_->database().Get(EntryKey("a"));
  value.back() = static_cast<char>(value.back() ^ 1);
  WriteRaw(EntryKey("a"), value);
  UseKeys(new_key_ + old_key_);
  Restart();
  ASSERT_TRUE(Eventually([&] {
    return Encryption::KeyIdOf(DecodeEntry(*engine_->database().Get(EntryKey("b")))->value) == IdOf(new_key_);
  }));
  for (int i = 0; i < 3; ++i) {
    engine_->Poke();
    (void)View("q");
  }
  EXPECT_THAT(KeysInUse(), ElementsAre(IdOf(old_key_), IdOf(new_key_)));
  EXPECT_EQ(*engine_->database().Get(EntryKey("a")), value) << "left as it is";
}

}  // namespace
}  // namespace holdfast::store
