# Installs the build tree BUILD of SOURCE, then builds the example of README.md against what was
# installed, and runs it on a bundled model.
cmake_minimum_required(VERSION 3.23)

set(work ${BUILD}/tests/install)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# The first C++ block of README.md.
file(READ ${SOURCE}/README.md readme)
string(FIND "${readme}" "```cpp\n" begin)
if(begin EQUAL -1)
  message(FATAL_ERROR "README.md has no C++ example")
endif()
math(EXPR begin "${begin} + 7")
string(SUBSTRING "${readme}" ${begin} -1 example)
string(FIND "${example}" "```" length)
string(SUBSTRING "${example}" 0 ${length} example)
file(WRITE ${work}/build/classify.cpp "${example}")

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix --config ${CONFIG})
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/install -B ${work}/build -G Ninja
  -DCMAKE_BUILD_TYPE=${CONFIG} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${work}/prefix
  "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wshadow -Wpedantic -Werror")
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/classify ${SOURCE}/models/bundled/lenet_bn.pt2)
if(NOT output MATCHES "class [0-9]")
  message(FATAL_ERROR "unexpected output of the example: ${output}")
endif()
run(${work}/prefix/bin/plica --version)
