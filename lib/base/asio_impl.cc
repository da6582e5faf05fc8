// The one place where Asio is compiled (BOOST_ASIO_SEPARATE_COMPILATION); everybody else includes declarations.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
