/** The main flow, in a real browser, with the built app and the running service. */
import { expect, type Page, test } from "@playwright/test";

const PASSWORD = "correct horse";

async function signUp(page: Page, name: string) {
  await page.goto("/sign-up");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel(/^E-?mail/).fill(`${name.toLowerCase()}-${Date.now()}@example.com`);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await expect(page.getByRole("heading", { name: "Tasks" })).toBeVisible();
}

async function signOut(page: Page) {
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
}

const task = (page: Page, title: string) => page.getByRole("checkbox", { name: title });

test("a user keeps tasks that another user of the same browser does not see", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveURL("/sign-in");

  await signUp(page, "Ann");
  await page.getByLabel("New task").fill("Water the tomatoes");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(task(page, "Water the tomatoes")).not.toBeChecked();

  await page.getByRole("button", { name: "Rename Water the tomatoes" }).click();
  await page.getByLabel("New title of Water the tomatoes").fill("Water the beans");
  await page.getByRole("button", { name: "Save" }).click();
  await task(page, "Water the beans").click();
  await expect(page.getByRole("listitem", { name: /saving/ })).toHaveCount(0);

  await page.reload();
  await expect(task(page, "Water the beans")).toBeChecked();

  await page.getByRole("button", { name: "Delete Water the beans" }).click();
  await expect(task(page, "Water the beans")).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(task(page, "Water the beans")).toBeChecked();
  await page.reload();
  await expect(task(page, "Water the beans")).toBeChecked();

  await signOut(page);
  await signUp(page, "Bob");
  await expect(page.getByText("All clear")).toBeVisible();
  await expect(page.getByText("Water the beans")).toHaveCount(0);
});
