# The package that find_package(plica CONFIG) finds.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/plica)
install(TARGETS plica EXPORT plica-targets FILE_SET HEADERS)
install(EXPORT plica-targets NAMESPACE plica:: DESTINATION ${config_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/plica-config.cmake.in plica-config.cmake
  INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(plica-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/plica-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/plica-config-version.cmake DESTINATION ${config_dir})
if(PLICA_BUILD_TOOLS)
  if(PLICA_ONEDNN)
    # It may lie in a prefix that the loader does not search.
    set_target_properties(plica_command PROPERTIES INSTALL_RPATH $<TARGET_FILE_DIR:DNNL::dnnl>)
  endif()
  install(TARGETS plica_command)
endif()
