#include "tools/plica/npy.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

#include "engine/base/dtype.h"
#include "engine/base/fail.h"

namespace plica::cli {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};
constexpr int64_t kMaxFile = int64_t{1} << 36;
constexpr size_t kMaxHeader = 1 << 20;

struct Header {
  char byte_order = '<', kind = 'f';
  int size = 4;
  bool fortran = false;
  std::vector<int64_t> shape;
};

[[noreturn]] void damaged(std::string_view what) {
  fail(ErrorCode::kFormat, "not a valid .npy file: ", what);
}

/// Reads the Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      bool& seen = key == "descr" ? descr : key == "fortran_order" ? order : shape;
      if (key != "descr" && key != "fortran_order" && key != "shape") damaged("unknown header key");
      if (seen) damaged("duplicate header key");
      seen = true;
      if (key == "descr") parse_descr();
      if (key == "fortran_order") header_.fortran = parse_bool();
      if (key == "shape") parse_shape();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) damaged("text behind the header");
    if (!descr || !order || !shape) damaged("the header lacks descr, fortran_order or shape");
    return header_;
  }

 private:
  void skip_space() {
    while (!text_.empty() && std::strchr(" \t\r\n", text_[0]) != nullptr && text_[0] != '\0')
      text_.remove_prefix(1);
  }
  bool accept(char c) {
    skip_space();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) damaged(std::string("expected '") + c + "' in the header");
  }
  std::string_view quoted() {
    skip_space();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) damaged("expected a string");
    const size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) damaged("string without an end");
    const std::string_view result = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return result;
  }
  bool parse_bool() {
    skip_space();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(0, word.size()) == word) {
        text_.remove_prefix(word.size());
        return value;
      }
    }
    damaged("fortran_order is neither True nor False");
  }
  void parse_descr() {
    skip_space();
    if (!text_.empty() && text_[0] == '[')
      fail(ErrorCode::kUnsupported, ".npy file of records; expected numbers");
    const std::string_view text = quoted();
    int size = 0;
    const char* end = text.data() + text.size();
    if (text.size() < 2) damaged("cannot read the type");
    if (std::from_chars(text.data() + 2, end, size).ptr != end) size = 0;
    const bool known = (text[1] == 'f' && (size == 2 || size == 4 || size == 8)) ||
                       ((text[1] == 'i' || text[1] == 'u') &&
                        (size == 1 || size == 2 || size == 4 || size == 8)) ||
                       (text[1] == 'b' && size == 1);
    if (!known || std::strchr("<>|=", text[0]) == nullptr)
      fail(ErrorCode::kUnsupported, ".npy type '", text,
           "'; expected float16, float32, float64, an integer or bool");
    header_.byte_order = text[0];
    header_.kind = text[1];
    header_.size = size;
  }
  void parse_shape() {
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t dim = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), dim);
      if (error != std::errc() || dim < 0) damaged("cannot read the shape");
      text_.remove_prefix(static_cast<size_t>(end - text_.data()));
      header_.shape.push_back(dim);
      if (header_.shape.size() > 64) damaged("too many dimensions");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
  }

  std::string_view text_;
  Header header_;
};

template <typename T>
T load(const char* bytes, bool swap) {
  char buffer[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) buffer[i] = bytes[swap ? sizeof(T) - 1 - i : i];
  T value;
  std::memcpy(&value, buffer, sizeof(T));
  return value;
}

float element(const Header& header, const char* bytes, bool swap) {
  const char kind = header.kind;
  switch (header.size) {
    case 1:
      return kind == 'i' ? static_cast<float>(load<int8_t>(bytes, swap))
                         : static_cast<float>(load<uint8_t>(bytes, swap));
    case 2:
      if (kind == 'f') {
        const auto bits = load<uint16_t>(bytes, swap);
        return static_cast<float>(
            load_as_double(DType::kF16, reinterpret_cast<const std::byte*>(&bits)));
      }
      return kind == 'i' ? static_cast<float>(load<int16_t>(bytes, swap))
                         : static_cast<float>(load<uint16_t>(bytes, swap));
    case 4:
      if (kind == 'f') return load<float>(bytes, swap);
      return kind == 'i' ? static_cast<float>(load<int32_t>(bytes, swap))
                         : static_cast<float>(load<uint32_t>(bytes, swap));
    default:
      if (kind == 'f') return static_cast<float>(load<double>(bytes, swap));
      return kind == 'i' ? static_cast<float>(load<int64_t>(bytes, swap))
                         : static_cast<float>(load<uint64_t>(bytes, swap));
  }
}

}  // namespace

int64_t count_elements(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool zero = false;
  for (const int64_t dim : shape) {
    require(dim >= 0, ErrorCode::kFormat, "negative dimension");
    zero |= dim == 0;
    require(dim == 0 || !__builtin_mul_overflow(count, dim, &count), ErrorCode::kFormat,
            "the shape has too many elements");
  }
  return zero ? 0 : count;
}

NdArray parse_npy(std::string_view bytes) {
  if (bytes.substr(0, kMagic.size()) != kMagic) damaged("it does not begin with \\x93NUMPY");
  if (bytes.size() < 10) damaged("it ends within the header");
  const int version = bytes[6];
  if (version < 1 || version > 3) damaged("unknown version");
  const size_t length_size = version == 1 ? 2 : 4;
  const size_t start = 8 + length_size;
  if (bytes.size() < start) damaged("it ends within the header");
  size_t length = 0;
  for (size_t i = 0; i < length_size; ++i)
    length |= static_cast<size_t>(static_cast<uint8_t>(bytes[8 + i])) << (8 * i);
  if (length > kMaxHeader) damaged("the header is too long");
  if (bytes.size() - start < length) damaged("it ends within the header");

  const Header header = HeaderParser(bytes.substr(start, length)).parse();
  const std::string_view data = bytes.substr(start + length);
  const int64_t count = count_elements(header.shape);
  const auto size = static_cast<int64_t>(data.size());
  if (count > size / header.size || count * header.size != size)
    fail(ErrorCode::kFormat, "not a valid .npy file: the shape needs ", count, " elements of ",
         header.size, " bytes, but ", size, " bytes are there");

  NdArray array{header.shape, std::vector<float>(static_cast<size_t>(count))};
  const bool swap = header.byte_order == '>'
                        ? std::endian::native == std::endian::little
                        : header.byte_order == '<' && std::endian::native == std::endian::big;
  if (!header.fortran || count == 0) {
    for (int64_t i = 0; i < count; ++i)
      array.data[static_cast<size_t>(i)] = element(header, data.data() + i * header.size, swap);
    return array;
  }
  // Fortran order: the first index runs fastest in the file. `index` is that of element i of the
  // result, `offset` its place in the file.
  const size_t rank = header.shape.size();
  std::vector<int64_t> index(rank), stride(rank);
  int64_t step = 1;
  for (size_t k = 0; k < rank; ++k) {
    stride[k] = step;
    step *= header.shape[k];
  }
  int64_t offset = 0;
  for (float& value : array.data) {
    value = element(header, data.data() + offset * header.size, swap);
    for (size_t k = rank; k-- > 0;) {
      offset += stride[k];
      if (++index[k] < header.shape[k]) break;
      offset -= stride[k] * header.shape[k];
      index[k] = 0;
    }
  }
  return array;
}

NdArray read_npy(const std::filesystem::path& path) {
  const std::vector<char> bytes = read_file(path, kMaxFile);
  try {
    return parse_npy({bytes.data(), bytes.size()});
  } catch (Error& error) {
    throw error.in_file(path.string());
  }
}

std::vector<char> format_npy(std::span<const int64_t> shape, std::span<const float> data) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) header += ' ';
    header += std::to_string(shape[i]);
    if (i + 1 < shape.size() || shape.size() == 1) header += ',';
  }
  header += "), }";
  // The data begin at a multiple of 64; the last character is a line end.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';

  const char version_and_length[] = {1, 0, static_cast<char>(header.size() & 255),
                                     static_cast<char>(header.size() >> 8)};
  std::vector<char> bytes;
  for (const std::string_view part :
       {kMagic, std::string_view(version_and_length, 4), std::string_view(header)})
    bytes.insert(bytes.end(), part.begin(), part.end());
  static_assert(std::endian::native == std::endian::little);
  const auto* raw = reinterpret_cast<const char*>(data.data());
  bytes.insert(bytes.end(), raw, raw + data.size_bytes());
  return bytes;
}

void write_npy(const std::filesystem::path& path, std::span<const int64_t> shape,
               std::span<const float> data) {
  const std::vector<char> bytes = format_npy(shape, data);
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.flush();
  if (!out) throw Error(ErrorCode::kIo, "cannot be written").in_file(path.string());
}

std::vector<char> read_file(const std::filesystem::path& path, int64_t limit) {
  std::ifstream in(path, std::ios::binary);
  std::error_code error;
  if (!in || !std::filesystem::is_regular_file(path, error))
    throw Error(ErrorCode::kIo, "cannot be opened").in_file(path.string());
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error || size > limit) throw Error(ErrorCode::kIo, "is too large").in_file(path.string());
  std::vector<char> bytes(static_cast<size_t>(size));
  in.read(bytes.data(), size);
  if (in.gcount() != size) throw Error(ErrorCode::kIo, "cannot be read").in_file(path.string());
  return bytes;
}

}  // namespace plica::cli
