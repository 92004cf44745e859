# helm: install, upgrade, rollback, uninstall
helm install page "$CHART" --set image="$APP_IMAGE" --wait --timeout 60s
helm upgrade page "$CHART" --set image="$APP_IMAGE_NEXT" --wait --timeout 60s
helm rollback page 1 --wait --timeout 60s
helm history page
helm uninstall page --wait --timeout 60s
