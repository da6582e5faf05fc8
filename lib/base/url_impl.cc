// The one place where Boost.URL is compiled; everybody else includes declarations.
#include <boost/url/src.hpp>
