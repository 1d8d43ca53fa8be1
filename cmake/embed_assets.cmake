# SPDX-License-Identifier: Apache-2.0
#
# Writes every file below ROOT into the C file OUT as the tables of include/bgw/assets.h:
#   cmake -DROOT=build/console -DOUT=assets.c -P embed_assets.cmake
# NAME.gz beside NAME is the same file for who takes gzip, not a file of its own. This runs while bgw is built, so
# that needs no other language than CMake's.

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_mjs "text/javascript; charset=utf-8")
set(type_json "application/json")
set(type_txt "text/plain; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_png "image/png")
set(type_ico "image/x-icon")
set(type_woff2 "font/woff2")

file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/*")
list(FILTER files EXCLUDE REGEX "\\.gz$|(^|/)\\.")
list(SORT files)

# The bytes of `path` as the C array `name`; a zero more, for C has no empty arrays and a text asset ends like a string.
function(embed path name length)
    file(READ "${path}" bytes HEX)
    string(LENGTH "${bytes}" len)
    math(EXPR len "${len} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "(................................................................................)"
        "\\1\n" bytes "${bytes}")
    file(APPEND "${OUT}.new" "static const unsigned char ${name}[] = {\n${bytes}0};\n")
    set(${length} ${len} PARENT_SCOPE)
endfunction()

file(WRITE "${OUT}.new" "/* Made by cmake/embed_assets.cmake: not to be edited. */\n#include \"bgw/assets.h\"\n\n")
set(rows "")
set(count 0)
foreach(path IN LISTS files)
    cmake_path(GET path EXTENSION LAST_ONLY extension)
    string(SUBSTRING "${extension}" 1 -1 extension)
    if(NOT DEFINED type_${extension})
        message(FATAL_ERROR "${ROOT}/${path}: no content type is known for .${extension}; add it here")
    endif()
    file(SHA256 "${ROOT}/${path}" digest)
    string(SUBSTRING "${digest}" 0 16 digest)
    embed("${ROOT}/${path}" data_${count} len)
    set(small "0, 0")
    if(EXISTS "${ROOT}/${path}.gz")
        embed("${ROOT}/${path}.gz" small_${count} small_len)
        set(small "small_${count}, ${small_len}")
    endif()
    string(APPEND rows "    {\"/${path}\", data_${count}, ${len}, ${small}, \"${type_${extension}}\", "
        "\"${digest}\"},\n")
    math(EXPR count "${count} + 1")
endforeach()
if(count EQUAL 0)
    set(rows "    {0, 0, 0, 0, 0, 0, 0},\n")
endif()

file(APPEND "${OUT}.new" "\nconst struct bgw_asset bgw_assets[] = {\n${rows}};\n"
    "const size_t bgw_asset_count = ${count};\n")
file(RENAME "${OUT}.new" "${OUT}")
